"""How much a decoder on frozen codes depends on its budget: its error after other numbers of epochs."""

from latents.decode import train_decoder
from latents.measure import errors_of
from latents.subject import Measured, Subject


def measure_decoder_budgets(subject: Subject, found: Measured) -> None:
    """MAE of decoders trained on the frozen codes for other numbers of epochs, of a method's first seed."""
    study, run = subject.study, subject.run
    if run.variant != "main" or run.seed != study.dataset(run.dataset).seeds[0]:
        return
    for epochs in study.decoder.epochs_curve:
        codes, images = (part["train"] for part in (subject.codes, subject.images))
        decoder = train_decoder(study, run.dataset, codes, images, epochs)
        found.lap("train decoder")
        for split in (name for name in subject.codes if name != "train"):
            error = errors_of(subject, decoder, split).double().mean().item()
            found.add(f"mae_frozen_{epochs}_epochs", split, error)
        found.lap("reconstruct")
