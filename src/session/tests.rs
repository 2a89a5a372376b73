//! Sessions over scripted transports.
