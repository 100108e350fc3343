"""Build the project's image from its lock, and prove it from outside: `image build` and `image verify`."""

from nomic_scaffold.workflows.image.build import Built, Wishes, build
from nomic_scaffold.workflows.image.ingredients import Ingredients, default_tag, image_platform, ingredients
from nomic_scaffold.workflows.image.look import look

__all__ = ["Built", "Ingredients", "Wishes", "build", "default_tag", "image_platform", "ingredients", "look"]
