//! What a signature says of a remote function: what it takes, and what it returns.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::spanned::Spanned;
use syn::{Error, FnArg, GenericArgument, Ident, Pat, PathArguments, Result, ReturnType, Signature, Type};

/// Refuses what no worker can call.
pub(crate) fn callable(signature: &Signature, what: &str) -> Result<()> {
    if let Some(word) = signature.asyncness.map(|word| word.span()).or(signature.unsafety.map(|word| word.span())) {
        return Err(Error::new(word, format!("{what} can be neither async nor unsafe")));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new(signature.generics.span(), format!("{what} cannot be generic: workers know it by its name")));
    }
    Ok(())
}

/// One parameter of the function.
pub(crate) struct Parameter {
    pub(crate) name: Ident,
    /// What the object must be: `[N]`, or a type that goes through serde.
    pub(crate) value: TokenStream,
    /// How the call gets it.
    pub(crate) fetch: TokenStream,
    /// How it is passed to the function.
    pub(crate) pass: TokenStream,
}

/// One result of the function.
pub(crate) struct Output {
    /// `T` of the `ObjectRef<T>`.
    pub(crate) value: TokenStream,
    /// Wraps the value for [`Returned`].
    pub(crate) wrap: fn(TokenStream) -> TokenStream,
}

pub(crate) fn parameter(index: usize, input: &FnArg) -> Result<Parameter> {
    let FnArg::Typed(input) = input else { return Err(Error::new(input.span(), "a remote function has no self")) };
    let name = match &*input.pat {
        Pat::Ident(pattern) if pattern.by_ref.is_none() && pattern.subpat.is_none() => pattern.ident.clone(),
        pattern => return Err(Error::new(pattern.span(), "a parameter of a remote function is a plain name")),
    };
    let held = format_ident!("argument_{index}");
    Ok(match &*input.ty {
        Type::Reference(reference) => {
            if let Some(word) = reference.mutability {
                return Err(Error::new(word.span, "objects never change: a parameter cannot be &mut"));
            }
            match &*reference.elem {
                Type::Slice(slice) => {
                    let element = &slice.elem;
                    Parameter {
                        name,
                        value: quote!([#element]),
                        fetch: quote!(let #held = call.slice::<#element>()?;),
                        pass: quote!(&#held),
                    }
                }
                Type::Path(path) if path.path.is_ident("str") => Parameter {
                    name,
                    value: quote!(::std::string::String),
                    fetch: quote!(let #held = call.value::<::std::string::String>()?;),
                    pass: quote!(&#held),
                },
                whole => {
                    Parameter { name, value: quote!(#whole), fetch: quote!(let #held = call.value::<#whole>()?;), pass: quote!(&#held) }
                }
            }
        }
        whole => Parameter { name, value: quote!(#whole), fetch: quote!(let #held = call.value::<#whole>()?;), pass: quote!(#held) },
    })
}

/// The type inside a `Result`, and whether there was one.
pub(crate) fn returned(output: &ReturnType) -> (bool, Type) {
    let ReturnType::Type(_, kind) = output else { return (false, syn::parse_quote!(())) };
    match generic(kind, "Result") {
        Some(inner) => (true, inner),
        None => (false, (**kind).clone()),
    }
}

pub(crate) fn outputs(returned: &Type, num_returns: Option<usize>) -> Result<Vec<Output>> {
    match (num_returns, returned) {
        (None | Some(1), whole) => Ok(vec![one(whole)]),
        (Some(wanted), Type::Tuple(tuple)) if tuple.elems.len() == wanted => Ok(tuple.elems.iter().map(one).collect()),
        (Some(wanted), whole) => Err(Error::new(whole.span(), format!("num_returns = {wanted} needs a tuple of {wanted}"))),
    }
}

fn one(kind: &Type) -> Output {
    if let Some(draft) = generic(kind, "Draft") {
        return Output { value: quote!(#draft), wrap: |result| result };
    }
    match generic(kind, "Vec") {
        Some(Type::Path(element)) if NUMBERS.iter().any(|number| element.path.is_ident(number)) => {
            Output { value: quote!([#element]), wrap: |result| quote!(::plasmon::macros::Numbers(#result)) }
        }
        _ => Output { value: quote!(#kind), wrap: |result| quote!(::plasmon::macros::Plain(#result)) },
    }
}

/// The plain numbers, by the names that a signature has for them.
const NUMBERS: [&str; 14] = ["u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "f32", "f64"];

/// `T` of a path that ends with `name<T, ..>`.
pub(crate) fn generic(kind: &Type, name: &str) -> Option<Type> {
    let Type::Path(path) = kind else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(inner) => Some(inner.clone()),
        _ => None,
    })
}

/// How results are named in a signature, made from what was handed out, and given to the call.
pub(crate) struct Results {
    /// What the submitter gets.
    pub(crate) returns: TokenStream,
    /// Makes it from `results`.
    pub(crate) collect: TokenStream,
    /// Takes what the function returned.
    pub(crate) bind: TokenStream,
    /// Gives each result to `call`.
    pub(crate) gives: Vec<TokenStream>,
}

impl Results {
    pub(crate) fn of(outputs: &[Output]) -> Self {
        let types: Vec<_> = outputs.iter().map(|output| &output.value).collect();
        let names: Vec<_> = (0..outputs.len()).map(|index| format_ident!("result_{index}")).collect();
        let next = quote!(results.next().ok_or_else(::plasmon::macros::no_result)?.typed());
        let each = names.iter().map(|_| &next);
        let (returns, collect, bind) = match &types[..] {
            [only] => (quote!(::plasmon::ObjectRef<#only>), next.clone(), quote!(result_0)),
            many => (quote!((#(::plasmon::ObjectRef<#many>),*)), quote!((#(#each),*)), quote!((#(#names),*))),
        };
        let gives = outputs.iter().zip(&names).map(|(output, name)| {
            let wrapped = (output.wrap)(quote!(#name));
            quote!(call.give(#wrapped)?;)
        });
        Self { returns, collect, bind, gives: gives.collect() }
    }
}

/// What a fallible function's error becomes, where a call may list itself which errors are worth a retry: `__plasmon_errors`.
pub(crate) fn fails_as_called(fallible: bool, listed: Option<&TokenStream>) -> Option<TokenStream> {
    let listed = listed.cloned().unwrap_or_else(|| quote!(true));
    let listed = quote!(match __plasmon_errors {
        ::std::option::Option::None => #listed,
        ::std::option::Option::Some(errors) => {
            use ::plasmon::macros::{ByAny as _, ByError as _, ByLocalReference as _, ByReference as _};
            errors.hold((&&&::plasmon::macros::Seen(&error)).seen())
        }
    });
    fails(fallible, Some(&listed))
}

/// What a fallible function's error becomes; `listed` says whether `error` is worth a retry.
pub(crate) fn fails(fallible: bool, listed: Option<&TokenStream>) -> Option<TokenStream> {
    let listed = listed.cloned().unwrap_or_else(|| quote!(true));
    fallible.then(|| {
        quote!(.map_err(|error| ::plasmon::macros::Failure::Value {
            listed: #listed,
            value: ::std::vec::Vec::new(),
            message: ::std::string::ToString::to_string(&error),
        })?)
    })
}
