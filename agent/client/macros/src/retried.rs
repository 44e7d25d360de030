//! `retry_exceptions = ..` of functions and methods.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Error, Expr, Result, Token, Type, bracketed, token};

/// Which errors are worth a retry.
pub(crate) enum Retried {
    /// All of them, or none: an expression that says it.
    All(Expr),
    /// Those of which this expression holds, where `error` is one.
    Listed(TokenStream),
}

impl Parse for Retried {
    /// `true`, `false`, a list of types, or a closure that says it of an error.
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if input.peek(token::Bracket) {
            let list;
            bracketed!(list in input);
            let types = Punctuated::<Type, Token![,]>::parse_terminated(&list)?.into_iter();
            return Ok(Self::Listed(quote!({
                use ::plasmon::macros::{ByError as _, ByLocalReference as _, ByReference as _};
                ::plasmon::macros::is_any((&&&::plasmon::macros::Seen(&error)).seen(), &[#(::plasmon::macros::is::<#types>),*])
            })));
        }
        let value: Expr = input.parse()?;
        if matches!(value, Expr::Closure(_)) {
            return Ok(Self::Listed(quote!(::plasmon::macros::says(&error, #value))));
        }
        Ok(Self::All(value))
    }
}

/// Refuses a list of errors where there are none.
pub(crate) fn can_be_listed(fallible: bool, listed: Option<&TokenStream>) -> Result<()> {
    match listed {
        Some(listed) if !fallible => Err(Error::new(listed.span(), "what returns no Result has no errors that could be listed")),
        _ => Ok(()),
    }
}
