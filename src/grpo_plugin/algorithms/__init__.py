"""The mathematics of policy-gradient training: tensors in, tensors out; torch is all it imports.

Shape legend: B completions = P prompts × G completions per prompt, laid side by side; T completion tokens, padded on
the right; N packed tokens; K predicted tokens; H hidden size; V vocabulary.
"""
