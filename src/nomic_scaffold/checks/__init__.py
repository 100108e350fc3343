"""Pure judgement: Expected x Evidence -> CheckResult."""
