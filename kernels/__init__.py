"""CUDA sources, installed as fastimg._kernels: *.cu are entries, fastimg/*.cuh the atoms that csrc/ shares."""
