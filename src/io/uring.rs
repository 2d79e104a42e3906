//! The real backend: one io_uring a reactor.
