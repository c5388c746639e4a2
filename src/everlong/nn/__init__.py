"""Parts that models are built from. They know tensors and clocks, and no model."""
