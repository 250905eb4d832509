"""Two clusterings added up, by hand."""

import torch

from musiclime_torch.surrogate.sides import Variances, combine_freedom


def test_the_overlap_is_taken_out_but_never_more_than_the_smaller_part():
    audio, lyrics, twice = (torch.tensor([[[4.0, 1.0]]]), torch.tensor([[[3.0, 5.0]]]), torch.tensor([[[1.0, 4.0]]]))
    variances = Variances(audio, lyrics, twice)
    assert variances.total.tolist() == [[[6.0, 5.0]]]
    freedom = combine_freedom(variances, variances.total, torch.tensor([8.0]), torch.tensor([9.0, 5.0]))
    assert freedom.tolist()[0][0] == [36 / (16 / 8 + 9 / 9), 5.0]


def test_without_errors_freedom_is_that_of_the_smaller_side():
    none = torch.zeros(1, 1, 1)
    freedom = combine_freedom(Variances(none, none, none), none, torch.tensor([8.0]), torch.tensor([5.0]))
    assert freedom.tolist() == [[[5.0]]]
