"""Every check code, declared once; codes are permanent. docs/reference/checks.md is made from this list."""

from __future__ import annotations

from dataclasses import dataclass

from nomic_scaffold.models.report import CheckResult, Place, Status


@dataclass(frozen=True, kw_only=True)
class Code:
    """One thing that `verify` can say."""

    code: str
    title: str
    explanation: str
    """What it means when this fails, and what to do; one paragraph for docs/reference/checks.md."""

    def result(self, status: Status, detail: str = "", *, hint: str = "", place: Place | None = None) -> CheckResult:
        """Make a result of this code."""
        return CheckResult(code=self.code, title=self.title, status=status, detail=detail, hint=hint, place=place)


CODES: dict[str, Code] = {}
"""Code -> its declaration, in the order of declaration."""


def declare(code: str, title: str, explanation: str) -> Code:
    """Declare a code; a second declaration of the same code is a bug."""
    assert code not in CODES, f"{code} is declared twice"
    CODES[code] = Code(code=code, title=title, explanation=explanation)
    return CODES[code]


# Declarations, one block per area.

# Embeddings: what the project's own `embed` gives.

EMB_RUNS = declare(
    "EMB001",
    "the project's embed() runs",
    "The environment's own Python imports the project and embeds the probe's texts. Unknown when the environment, the "
    "model file or the probe is not there, or when the probe died: then no other check of this group was made, and "
    "nothing is claimed about the vectors. A failure means that embed() raised on texts that it must take.",
)
EMB_SHAPE = declare(
    "EMB002",
    "vectors have the pinned shape and type",
    "Each call must give float32 of shape (number of texts, dimension of the pin). Another dimension means another "
    "model or a truncation that nobody asked for; another type doubles or halves what an index stores.",
)
EMB_FINITE = declare(
    "EMB003",
    "vectors are finite",
    "No component may be NaN or infinite. They come from a division by zero (an empty text, a masked-out sequence) or "
    "from overflow in float16, and they poison every similarity that they touch without an error.",
)
EMB_UNIT = declare(
    "EMB004",
    "vectors have length 1",
    "The Euclidean norm of every vector is 1 within 1e-5, so that a dot product is the cosine. Vectors that are not "
    "normalised still rank plausibly in small tests and wrongly in an index that assumes they are.",
)
EMB_ALIKE = declare(
    "EMB005",
    "different texts give different vectors",
    "Texts that have nothing to do with each other must not get the same vector. They do when a tokenizer lost its "
    "vocabulary and every word became [UNK], when pooling sees only padding, or when weights never loaded.",
)
EMB_AGAIN = declare(
    "EMB006",
    "the same text gives the same vector",
    "A second call with the same texts gives the same vectors. A difference means state between calls: dropout left "
    "on, a cache, or rotary positions that stay grown after a long text.",
)
EMB_ALONE = declare(
    "EMB007",
    "a text alone gives what it gives in a batch",
    "A text's vector does not depend on its neighbours. A difference far above rounding means that padding takes part "
    "in attention or in the mean.",
)
EMB_ORDER = declare(
    "EMB008",
    "rows come back in the order of the texts",
    "Texts given in reverse order give the same vectors in reverse order. A failure means that texts were sorted by "
    "length for speed and not put back.",
)
EMB_THREADS = declare(
    "EMB009",
    "one thread gives what many threads give",
    "The number of threads must not change a vector beyond rounding.",
)
EMB_BITS = declare(
    "EMB010",
    "the same bits alone, in any batch, in any order, with any number of threads",
    "Where the torch runtime multiplies with oneDNN (the fast and the exact engine on an x86-64 CPU) a text's vector "
    "is bit for bit the same however it is embedded on one machine, so that caches, diffs and hashes of vectors work. "
    "Elsewhere it is not promised, and EMB001 says why. A failure with EMB006 to EMB009 passing is harmless for "
    "search, and means that a matrix product now takes another path for another shape; report it with your evidence "
    "file.",
)
EMB_PREFIX = declare(
    "EMB011",
    "the task changes the vector",
    "The model was trained with a task prefix before each text; a query and a document of the same words have "
    "different vectors. If they are the same, the prefix is missing and retrieval quality drops silently.",
)
EMB_CASE = declare(
    "EMB012",
    "upper and lower case give the same vector",
    "The pinned model's tokenizer lower-cases. If upper case gives another vector, the tokenizer was built as a cased "
    "one, and all upper-case text turns into [UNK].",
)
EMB_DIMENSION = declare(
    "EMB013",
    "a smaller dimension is the start of the full vector, normalised again",
    "The model is trained so that the first 64 to 768 components are a vector of their own. dimension=256 must be the "
    "first 256 components of the full vector, divided by their length.",
)
EMB_REFUSE = declare(
    "EMB014",
    "what can't be embedded rightly is refused",
    "Empty text, things that are not text and unknown tasks must raise an error instead of giving a vector; so must "
    "a text past the runtime's limit, unless the caller asks for it to be cut, and what the runtime is known to get "
    "wrong (the nomic client takes [SEP] in a text for a special token).",
)
EMB_ENGINES = declare(
    "EMB015",
    "two independent implementations agree",
    "The fast engine and transformers' own class run the same weights on this machine; their vectors must agree "
    "within 2e-7 a component in float32 on oneDNN (the exact engine within 3e-7), elsewhere within the bars of the "
    "device and the type. A failure means that one of them is wrong here: a broken kernel, a wrong build, or a device "
    "that computes wrongly.",
)
EMB_RELATED = declare(
    "EMB016",
    "sentences that mean the same are closer than those that don't",
    "Twelve English sentences and their paraphrases: the least similar related pair must stand above the most similar "
    "unrelated pair. The default model's margin is 0.145, and it is held to 0.14; another model to 0.05, if "
    "scaffold.toml names English. A model that fails this is not one to search with, whatever its hashes say.",
)
EMB_RETRIEVAL = declare(
    "EMB017",
    "each question finds its own passage first",
    "A dozen English questions against a dozen passages: each question's own passage must be the most similar one. "
    "Judged for the default model, and for another one if scaffold.toml names English.",
)
EMB_GOLDEN = declare(
    "EMB018",
    "vectors are the golden ones that ship with the tool",
    "The probe's texts were embedded once with the official weights and the official tokenizer; here they must come "
    "out the same within [tolerance] of scaffold.toml, by 1 - cosine and by the largest difference of one component. "
    "float16 and bfloat16 have wider bars. On CUDA and MPS the bars are those that `nomic-scaffold bless` measured "
    "there; until then, vectors that are not as near as a CPU's are unknown. When they don't, the pattern of the "
    "differences names the likeliest cause; the causes are listed below.",
)
EMB_BLESSED = declare(
    "EMB019",
    "vectors are the project's own golden ones",
    "locks/golden.json holds the vectors that `nomic-scaffold bless` recorded on a machine that the project trusts. "
    "The vectors here must agree with them within [tolerance] of scaffold.toml. Unknown when the pinned model is not "
    "one that the tool ships vectors for and nobody blessed any.",
)

EMB_UNREADABLE = declare(
    "EMB020",
    "text that the model can't read is warned of",
    "A text of which more than a third of the tokens are [UNK] gets a vector that knows little of it. embed() must "
    'warn of it, and refuse it with unknown="error". A Chinese sentence is tried, which the default model can\'t read.',
)

EMB_RECORDED = declare(
    "EMB021",
    "the vectors are those that the probe recorded",
    "The probe writes a sha256 of all vectors' bytes beside them. If it is another one now, the evidence was changed "
    "after it was gathered, by hand or by a broken disk. It guards against accidents, not against somebody who writes "
    "the hash anew. Unknown for evidence that has none: gather it again.",
)

# Languages: what the pinned model can read.

LNG_LOOKED = declare(
    "LNG001",
    "the languages of scaffold.toml were looked at",
    "Unknown when the probe did not run, or when it has no sentences in a language that scaffold.toml names: then "
    "nothing is claimed about that language.",
)
LNG_READABLE = declare(
    "LNG002",
    "the model can read the language",
    "At most a tenth of the tokens of plain sentences in each language that scaffold.toml names may be [UNK]. A model "
    "that can't read a language gives vectors of the right shape that know nothing of the text. Take the language out "
    "of scaffold.toml, or embed such texts with another model's own code: this project's runs nomic-embed-text-v1.5.",
)
LNG_RELATED = declare(
    "LNG003",
    "paraphrases in the language are told from unrelated sentences",
    "In each language that scaffold.toml names, every related pair must be more similar than every unrelated pair. "
    "Readable is not understood: a model may spell a language out in letters and still not know what it says.",
)
LNG_RETRIEVAL = declare(
    "LNG004",
    "questions in the language find their passages",
    "In each language that scaffold.toml names, each question's own passage must be the most similar one.",
)

# Privacy: what leaves the machine.

PRV_WATCHED = declare(
    "PRV001",
    "the network was watched while embedding",
    "The probe blocks and records Python's sockets, in forked processes too, and on Linux, where it is allowed, runs "
    "in an empty network namespace, so that native code and other programs are held in as well. Where it is not, the "
    "programs that were started are named. Unknown when the probe did not run.",
)
PRV_NO_ATTEMPT = declare(
    "PRV002",
    "nothing tried to reach the network",
    "Any attempt to resolve a name or to connect while embedding is a failure, even though it was blocked: on a "
    "machine without the block, texts or telemetry would have left it.",
)

# Weights: the model file on disk.

WGT_PRESENT = declare(
    "WGT001",
    "the model file is there",
    "The project's code reads .nomic-scaffold/weights/<file>. Unknown when the file is missing or can't be read: "
    "`nomic-scaffold weights pull` fetches it, or takes it from the store of this machine.",
)
WGT_SIZE = declare(
    "WGT002",
    "the model file has the pinned size",
    "A shorter file is a download that broke off, a longer one is another file. If the sha256 is right and only the "
    "size is wrong, it is the size in scaffold.toml that needs mending.",
)
WGT_SHA256 = declare(
    "WGT003",
    "the model file has the pinned bytes",
    "The sha256 of the file is the one in scaffold.toml. Quantised files of the same model, files that somebody else "
    "converted and files with one flipped bit all load and give vectors of the right shape; only the hash tells them "
    "apart. `nomic-scaffold weights pull` replaces the file.",
)

# Environment: what is installed, against the lock; the same codes for conda packages and for wheels.

ENV_LOOKED = declare(
    "ENV001",
    "the environment was looked at",
    "Unknown when there is no finished environment, when its Python does not run, or when its files can't be read: "
    "then nothing below is claimed. `nomic-scaffold install` makes it.",
)
ENV_PRESENT = declare(
    "ENV002",
    "every locked package is installed",
    "Each package that the lock has for this platform and this Python must be there. `nomic-scaffold install` puts it "
    "there; an environment of wheels is made anew, with `--fresh`.",
)
ENV_NO_MORE = declare(
    "ENV003",
    "no package is installed that the lock lacks",
    "A package that somebody added by hand is not on the next machine, and of a package with two records nobody knows "
    "which one is there. Add what you need to environment.yml or scaffold.toml and run `nomic-scaffold lock`; "
    "`nomic-scaffold install` removes the rest (an environment of wheels is made anew, with `--fresh`).",
)
ENV_VERSION = declare(
    "ENV004",
    "every package has its locked version",
    "The version, and for conda the build, must be the locked one. An upgrade by hand is the usual cause.",
)
ENV_ARCHIVE = declare(
    "ENV005",
    "every package comes from its locked archive",
    "The sha256 of the archive that a package was installed from must be one that the lock has. Where an environment's "
    "records don't say, a deep look lets the files speak: every byte is the locked archive's. Else it is unknown.",
)
ENV_FILES = declare(
    "ENV006",
    "every file of the packages is there, in its size",
    "Each file that a package brought must be there in the size that the package's own list says. What Python "
    "itself compiled (`__pycache__`) is left out. ENV009 reads the bytes as well.",
)
ENV_FOREIGN = declare(
    "ENV007",
    "no file in the environment belongs to nobody",
    "A file in the places that programs and Python run and import from, which no package brought, can shadow a package "
    "or change what it does, and is not on the next machine; so can variables that activating the environment sets "
    "(`conda-meta/state`). Elsewhere in a conda environment a file of nobody is a warning.",
)
ENV_PYTHON = declare(
    "ENV008",
    "the environment's Python is one that the lock is for",
    "The Python of the environment must be in the range that the lock was resolved for. A virtual environment borrows "
    "the standard library of a Python of the machine; the lock does not cover that, and no check claims it.",
)
ENV_BYTES = declare(
    "ENV009",
    "every file of the packages has its sha256",
    "With `--deep`, and always in an environment of wheels, each file is read in full; without, only what was touched "
    "since this tool's install. What is read must have the sha256 that the package gives it, in a conda "
    "environment also where the prefix is written into it. "
    "Unknown for a file that can't be read or whose package gives no hash of it.",
)
ENV_CHANNEL = declare(
    "ENV010",
    "every conda package is from its locked channel",
    "The same name and version from another channel is another build. Where the bytes came from (a mirror) does not "
    "count; which channel the record names does. `nomic-scaffold install` puts the locked package in its place.",
)
ENV_MODES = declare(
    "ENV011",
    "links lead where they should, and permissions are as packaged",
    "A link that leads elsewhere changes what is loaded without any file changing; a program that may not be executed "
    "does not run, a file that others may write or that runs as its owner is a danger. `nomic-scaffold install` mends "
    "them.",
)
ENV_WITNESS = declare(
    "ENV012",
    "what files must be is told by the locked archives, not by the environment",
    "An environment's own records can be changed together with its files, so each file is held against the archive "
    "that the lock pins by sha256: conda's packages and wheels alike. Unknown for packages whose archive is in no "
    "package cache here and can't be fetched; in an environment of wheels, for packages whose RECORD is not as the "
    "install left it. `nomic-scaffold install` fetches what is lacking.",
)


# Locks: what they hold, whoever wrote them.

LCK_READ = declare(
    "LCK001",
    "the locks can be read",
    "Each lock is a conda-lock file of version 1 that conda-lock itself accepts. A merge conflict, a lock of another "
    "version and an edit by hand end here; `nomic-scaffold lock` writes it anew, and keeps what still fits.",
)
LCK_FRESH = declare(
    "LCK002",
    "the locks match their inputs",
    "environment.yml and scaffold.toml ask for exactly what the locks say that they were made from, and the files made "
    "from the locks are there. A warning when only the pip section waits to be locked: no package index answered when "
    "the project was made. `nomic-scaffold lock --check` says the same in a fraction of a second.",
)
LCK_HASHES = declare(
    "LCK003",
    "every package is locked by hash",
    "Each package has its sha256, and each conda package its md5 too, which older tools check. A package without a "
    "hash is installed whatever its bytes are, without a word.",
)
LCK_EMPTY = declare(
    "LCK004",
    "no package has lost its dependencies",
    "A Python package, and python itself, depends on something. Some versions of solvers wrote locks with emptied "
    "dependency lists; such a lock installs, but tools that read it can't order, update or prune it.",
)
LCK_CLOSED = declare(
    "LCK005",
    "what the packages depend on is locked too",
    "Every dependency of a conda package is in the lock of its platform. A gap means that packages were taken out by "
    "hand, or that a tool wrote only a part: the environment installs and then fails to import.",
)
LCK_PLATFORMS = declare(
    "LCK006",
    "every platform of a lock has packages",
    "A platform that a lock names without locking a package for it gives an empty environment, where tools only warn. "
    "A lock that names no platform at all fails too. Platforms that only other tools lock for are judged like all.",
)
LCK_ONE = declare(
    "LCK007",
    "one version of each package",
    "A platform has one version and one build of a package. Two of them come from a merge that kept both sides.",
)
LCK_MANAGERS = declare(
    "LCK008",
    "no package comes by both managers",
    "A package that conda and pip both install is overwritten by whichever runs last: what is on disk is then neither. "
    "Take one of the two out of environment.yml.",
)
LCK_REACHABLE = declare(
    "LCK009",
    "every address can be reached by others",
    "Addresses are https, http or those of an object store. One that starts with file:// or with a path works on one "
    "machine only, and packages from such an address are installed without a look at their hash.",
)
LCK_SECRETS = declare(
    "LCK010",
    "no lock holds a login",
    "No address has a user, password, token or signature in it, be it a package's, a channel's, a source's, or one in "
    "a comment. Locks are committed and shared: what is in them is public. Put the login into ~/.netrc, the keyring, "
    "or a variable written as ${NAME}; renew the one that leaked.",
)
LCK_MIX = declare(
    "LCK011",
    "CPU and CUDA builds do not mix",
    "A CPU lock holds no CUDA package, and a CUDA lock holds a CUDA build of pytorch. The other way round, an image "
    "for a GPU runs on its CPU in silence, or a CPU image carries gigabytes for a GPU that is not there.",
)
LCK_PLACE = declare(
    "LCK012",
    "every package is built for its platform",
    "The address of a conda package names the platform that it is locked for, or noarch. Anything else is a package of "
    "another system, which installs and does not run.",
)
LCK_EXPLICIT = declare(
    "LCK013",
    "the explicit files are the lock's",
    "Each file under locks/explicit lists the packages and hashes of the lock that it was made from, so that those who "
    "install with `conda create --file` get the same bytes. `nomic-scaffold lock` writes them again.",
)

# IMG: the project's image.
IMG_INPUTS = declare(
    "IMG001",
    "the image was built from these files",
    "The labels of the image name the lock, the model file and the variant that it was built from, by sha256. Other "
    "ones mean that the project has changed since: build it again.",
)
IMG_USER = declare(
    "IMG002",
    "nobody in the image is root",
    "What runs in the image runs as an ordinary user, so that a fault in it reaches as little as possible. The "
    "Dockerfile of a generated project ends with USER 10001:10001.",
)
IMG_BUDGET = declare(
    "IMG003",
    "the image is not larger than allowed",
    "scaffold.toml sets the largest size under [image]. `nomic-scaffold image build` prints the largest packages.",
)
IMG_PROJECT = declare(
    "IMG004",
    "the image holds the project as it is here",
    "Every file of the project that is to be in the image has the same sha256 in /project and here, and nothing else "
    "is there. A source that has changed since the build, or that was changed in the image, is named.",
)
