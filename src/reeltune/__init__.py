"""Fine-tune a small language model to predict whether a user will like a film."""

import logging

__version__ = "0.1.0"

# On CPUs with AVX512-BF16, importing bitsandbytes 0.50 suggests a package that would make other
# libraries ask the hub at run time. Nothing here can use what it offers.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
