"""Contrastive losses, tile by tile.

losses      what is public, and its arguments
function    what autograd and compilers see
problem     what all tiled losses have in common: unit vectors, the ring of blocks, the gradients' last step
softmax     InfoNCE, CLIP, SimCLR, SupCon
sigmoid     SigLIP
tiles       products, a tile at a time
ring        the blocks of other ranks
dense       the same losses as plain formulas, for derivatives of higher order and for transforms
"""
