//! A server in a process of its own, measured by the kernel.
