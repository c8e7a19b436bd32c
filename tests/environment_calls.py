"""What tests let simulators of other environments do; found there by PYTHONPATH, so nothing of pytest is imported."""

import numpy as np


def along(sim, task, seed, steps):
    """What is seen along some fixed actions: vectors, a checksum of each image, and what came of it."""
    rng = np.random.default_rng(0)
    sim.reset(task, seed)
    seen = []
    dims = sum(sim.config.features()[key].shape[0] for key in sim.config.action_keys)
    for _ in range(steps):
        seen.append({k: v if isinstance(v, str) else v.copy() for k, v in sim.observation().items()})
        sim.step(rng.uniform(-0.3, 0.3, (2, dims)))
    return seen, sim.success, sim.steps


def by_expert(sim, task, seed):
    """Success and steps of the scripted expert, and the image at the end."""
    sim.reset(task, seed)
    while not sim.done:
        sim.step(sim.expert_action())
    return sim.success, sim.steps, sim.render()


def modules(sim):
    """Which of the packages that must not be there are."""
    import importlib.util

    return [name for name in ("lerobot", "metaworld", "snakemake") if importlib.util.find_spec(name)]


def initial_states(sim):
    """Shape and type of LIBERO's initial states of each task."""
    from pisft.simulators.libero import initial_states

    return {task: initial_states(task).shape[0] for task in sim.config.tasks}
