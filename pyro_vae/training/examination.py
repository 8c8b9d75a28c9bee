"""What fails early, the score to beat, and the weights to fall back on."""

from pyro_vae.objectives import Renyi
from pyro_vae.training.baseline import independent_score
from pyro_vae.training.run import Run
from pyro_vae.training.sanity_check import check_objective
from pyro_vae.training.sleep import require_sleep
from pyro_vae.training.train_step import State
from pyro_vae.training.training_data import TrainingData


def examine(run: Run, state: State, data: TrainingData) -> None:
    """What fails early, the score to beat, and the weights to fall back on."""
    options = run.options
    # Rényi's bound with α above 1 is below the ELBO; what a context adds to a loss is no bound.
    objective = state.objective
    run.is_importance_weighted = isinstance(objective, Renyi) and objective.alpha < 1
    if options.sleep_share:
        require_sleep(run.vae)
    check_objective(state, data.train, options)
    has_fixed_rows = data.valid is not None or options.binarize == "none"
    if has_fixed_rows:  # the bits of grey training rows are drawn anew in each step
        run.baseline = independent_score(run.vae, data)
    run.remember()
