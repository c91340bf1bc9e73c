//! Map layouts and pure algorithms shared by the XDP program and the controller.
#![no_std]
