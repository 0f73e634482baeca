"""The Cython layer over libqdsim's public C API. It holds handles; it computes nothing."""
