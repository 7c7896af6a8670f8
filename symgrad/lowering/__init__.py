"""The simplified graph as expressions of JAX, for its devices and meshes."""
