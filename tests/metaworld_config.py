"""A small MetaWorld configuration for tests."""

from pisft.config.simulators.metaworld import MetaworldConfig


def simulator(**changes) -> MetaworldConfig:
    content = {
        "simulator": "metaworld",
        "tasks": {
            "button-press-topdown": "press the button from above",
            "drawer-close": "close the drawer",
            "push": "push",
        },
        "suites": {"both": ["button-press-topdown", "drawer-close"], "one": ["drawer-close"]},
        "max_steps": 150,
        "fps": 80,
        "render": {
            "size": 32,
            "camera_position": [1.3, -0.2, 1.1],
            "shadowsize": 0,
            "offsamples": 0,
            "reflectance": False,
        },
        "seeds": {"demonstrations": {"first": 0, "last": 9}, "testing": {"first": 10, "last": 19}},
    }
    return MetaworldConfig.model_validate(content | changes)
