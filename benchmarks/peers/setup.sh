#!/usr/bin/env bash
# Builds the peers' environments under .peers/: they need library versions that do not live together, nor with ours.
set -euo pipefail
cd "$(dirname "$0")/../.."

for name in hf xt memory machines; do
    [ -x ".peers/$name/bin/python" ] || "${PYTHON:-python3}" -m venv ".peers/$name"
    # torch comes first and alone; --no-deps keeps a peer's own requirements from replacing it with another build.
    ".peers/$name/bin/pip" install --quiet torch==2.13.0
    ".peers/$name/bin/pip" install --quiet --no-deps -r "benchmarks/peers/$name.txt"
done
.peers/hf/bin/python -W ignore -c 'import transformers.models.transfo_xl'
.peers/xt/bin/python -W ignore -c 'import x_transformers, labml_nn.transformers.xl'
.peers/memory/bin/python -W ignore -c 'import compressive_transformer_pytorch, local_attention, reformer_pytorch, transformers'
.peers/machines/bin/python -W ignore -c 'import dnc'
echo "the peers are ready in .peers/"
