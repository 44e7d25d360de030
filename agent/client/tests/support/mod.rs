//! What API tests share.
