"""The families: what each reads, how it may be given, and how that folds into the variables of its kernels.

One module per family, with its folds, which carry derivatives back by the chain rule once for all of its losses, and
its signatures. In a fold, ``a`` are a kernel's first partial derivatives with respect to its variables and ``b`` its
second ones; no loss mixes two variables of one fold in a product, so the diagonal of the Hessian is Σ b u'² + a u''
over the variables u.
"""
