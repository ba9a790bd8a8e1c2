"""The process that runs libvips. Nothing outside of this package imports pyvips: a crash, a hang or a runaway costs one photo."""
