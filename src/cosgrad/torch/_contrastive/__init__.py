"""Contrastive losses, computed tile by tile.

losses      the public functions
arguments   the checks of their arguments
function    the autograd functions and the operators for compilers
problem     the common parts of all tiled losses: unit vectors, the ring of blocks, the last step of gradients
softmax     InfoNCE, CLIP, SimCLR, SupCon
sigmoid     SigLIP
tiles       matrix products, one tile at a time
ring        the exchange of blocks with other ranks
dense       the same losses as plain formulas, for derivatives of higher order and for transforms
"""
