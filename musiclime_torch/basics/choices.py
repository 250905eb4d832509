"""Names to choose from, each list written down once: signatures, checks, options and their help read it here."""

from typing import Literal

#: What of the lyrics is switched on and off.
Units = Literal["word", "type", "line", "section"]

#: What a removed stem becomes, where it isn't another song's.
StandIn = Literal["silence", "noise"]

#: What the tokens of a removed word become.
LyricsBaseline = Literal["mask", "zero", "pad", "gone"]

#: How masks are drawn.
DesignName = Literal["auto", "crossed", "joint", "foldover", "kerdock", "unfolded", "bernoulli", "bernoulli+song"]

#: How rows are weighted, and so what the coefficients estimate.
WeightsName = Literal["uniform", "lime", "paper", "shapley"]

#: Scales on which outputs can be explained.
Space = Literal["logit", "log-odds", "probability", "raw"]

#: Floating-point precision of encoders.
Precision = Literal["float32", "bfloat16"]

#: What a model's outputs are.
OutputKind = Literal["logits", "multilabel", "probabilities", "regression", "embedding"]

#: What a model takes.
Modality = Literal["audio", "lyrics"]
