"""An accelerator for PyTorch that is simulated by threads; see device.cpp.

Importing torch makes it known where this package is installed.
"""

import sys
import types


def load() -> None:
    """Make the device `simulated` known, with `torch.simulated` as its module."""
    import torch

    from simulated_accelerator import _C

    module = types.ModuleType("torch.simulated")
    module.is_available = lambda: True
    module.device_count = _C.device_count
    module.current_device = _C.current_device
    module.set_device = lambda device: _C.set_device(
        device if isinstance(device, int) else torch.device(device).index or 0
    )
    module._is_in_bad_fork = _C.in_bad_fork
    # Kernels are the CPU's, and draw from its generator.
    module.manual_seed = module.manual_seed_all = lambda seed: None
    module.get_rng_state = lambda device=None: torch.empty(0, dtype=torch.uint8)
    module.set_rng_state = lambda state, device=None: None
    module.get_amp_supported_dtype = lambda: [torch.bfloat16, torch.float16]
    torch.utils.rename_privateuse1_backend("simulated")
    torch._register_device_module("simulated", module)
    sys.modules["torch.simulated"] = module
    torch.utils.generate_methods_for_privateuse1_backend()
