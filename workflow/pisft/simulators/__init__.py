"""Simulators in processes of their own. Start from `base.Simulator` and `pool.Pool`."""
