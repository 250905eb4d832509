"""Scores on the test songs as a table: lyrics, sound and both side by side, one class per row."""

from rich.table import Table

from musiclime_torch.training.recipes import Trained


def make_table(trained: Trained) -> Table:
    """F1 and accuracy of every class by column, their means last."""
    columns = sorted(trained.scores, key=lambda name: ("lyrics", "audio", "both").index(name.partition(",")[0]))
    first = trained.scores[columns[0]]
    table = Table(title=f"{trained.songs['test']} test songs: F1 (accuracy)")
    table.add_column("class")
    table.add_column("songs", justify="right")
    for name in columns:
        table.add_column(name, justify="right")
    for row, label in enumerate(trained.labels.classes):
        cells = [
            f"{scores.f1[row]:.2f} ({scores.class_accuracy[row]:.2f})"
            for scores in map(trained.scores.get, columns)
            if scores
        ]
        table.add_row(label, str(int(first.songs[row])), *cells, end_section=row == len(trained.labels.classes) - 1)
    means = [f"{trained.scores[name].macro_f1:.2f} ({trained.scores[name].accuracy:.2f})" for name in columns]
    table.add_row("macro F1 (accuracy)", str(trained.songs["test"]), *means)
    return table
