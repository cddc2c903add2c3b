"""`make accelerator` installs it beside .venv, where importing torch makes the device known."""

from setuptools import setup
from torch.utils.cpp_extension import BuildExtension, CppExtension

setup(
    name="simulated-accelerator",
    version="0",
    packages=["simulated_accelerator"],
    ext_modules=[CppExtension("simulated_accelerator._C", ["simulated_accelerator/device.cpp"])],
    cmdclass={"build_ext": BuildExtension},
    entry_points={"torch.backends": ["simulated = simulated_accelerator:load"]},
)
