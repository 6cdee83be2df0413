# SPDX-License-Identifier: Apache-2.0
# The lane's model (test/model), searched by Spin.

.PHONY: model
model: ## every interleaving of the lane's model, with Spin, and its mutations
	@scripts/step model scripts/model build/model $(T)
