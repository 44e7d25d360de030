//! What `#[plasmon::remote]` writes.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::{Error, Expr, Ident, ItemFn, LitInt, Result, Token, parse2};

use crate::reserve;
use crate::retried::{Retried, can_be_listed};
use crate::signature::{Output, Parameter, Results, callable, fails_as_called, outputs, parameter, returned};

/// What stands in the attribute.
#[derive(Default)]
struct Attribute {
    /// Calls on `TaskOptions`.
    options: Vec<TokenStream>,
    num_returns: Option<usize>,
    /// Whether `error` is worth a retry, where the function says which are.
    listed: Option<TokenStream>,
}

impl Parse for Attribute {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut attribute = Self::default();
        while !input.is_empty() {
            let name: Ident = input.parse()?;
            input.parse::<Token![=]>()?;
            let option = match name.to_string().as_str() {
                "num_returns" => {
                    attribute.num_returns = Some(input.parse::<LitInt>()?.base10_parse()?);
                    None
                }
                "retry_exceptions" => Some(match input.parse()? {
                    Retried::Listed(listed) => {
                        attribute.listed = Some(listed);
                        quote!(.retry_listed_exceptions())
                    }
                    Retried::All(all) => quote!(.retry_exceptions(#all)),
                }),
                "max_retries" | "timeout" => {
                    let value: Expr = input.parse()?;
                    Some(quote!(.#name(#value)))
                }
                other => {
                    let value: Expr = input.parse()?;
                    Some(reserve::call(&name, &value).ok_or_else(|| {
                        let there = format!("there are {}, max_retries, retry_exceptions, timeout and num_returns", reserve::NAMES);
                        Error::new(name.span(), format!("unknown option '{other}'; {there}"))
                    })?)
                }
            };
            attribute.options.extend(option);
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(attribute)
    }
}

pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let attribute: Attribute = parse2(attribute)?;
    let function: ItemFn = parse2(item)?;
    let signature = &function.sig;
    callable(signature, "a remote function")?;
    let parameters = signature.inputs.iter().enumerate().map(|(index, input)| parameter(index, input)).collect::<Result<Vec<_>>>()?;
    let (fallible, returned) = returned(&signature.output);
    can_be_listed(fallible, attribute.listed.as_ref())?;
    let outputs = outputs(&returned, attribute.num_returns)?;
    Ok(write(&attribute, &function, &parameters, fallible, &outputs))
}

fn write(attribute: &Attribute, function: &ItemFn, parameters: &[Parameter], fallible: bool, outputs: &[Output]) -> TokenStream {
    let (visibility, name, body) = (&function.vis, &function.sig.ident, &function.block);
    let (inputs, output) = (&function.sig.inputs, &function.sig.output);
    let attributes = &function.attrs;
    let kind = format_ident!("__plasmon_remote_{}", name);
    let run = format_ident!("__plasmon_run_{}", name);
    let entry = format_ident!("__PLASMON_ENTRY_{}", name);
    let names: Vec<_> = parameters.iter().map(|parameter| &parameter.name).collect();
    let values = parameters.iter().map(|parameter| &parameter.value);
    let encode = parameters.iter().map(|parameter| {
        let (name, value) = (&parameter.name, &parameter.value);
        quote!(::plasmon::IntoArgument::<#value>::into_argument(#name))
    });
    let fetches = parameters.iter().map(|parameter| &parameter.fetch);
    let passes = parameters.iter().map(|parameter| &parameter.pass);
    let count = outputs.len();
    let Results { returns, collect, bind, gives } = Results::of(outputs);
    let fails = fails_as_called(fallible, attribute.listed.as_ref());
    let errors = fallible.then(|| quote!(let __plasmon_errors = call.errors()?;));
    let options = &attribute.options;
    let line = quote_spanned!(name.span()=> ::std::line!());
    let path = quote!(::std::concat!(::std::module_path!(), "::", ::std::stringify!(#name)));
    quote! {
        #[doc(hidden)]
        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy)]
        #visibility struct #kind {
            options: ::plasmon::TaskOptions,
        }

        #[doc(hidden)]
        #[allow(non_upper_case_globals)]
        #visibility const #name: #kind = #kind { options: ::plasmon::TaskOptions::new()#(#options)* };

        #[allow(clippy::too_many_arguments, dead_code)]
        impl #kind {
            /// Submits a task.
            ///
            /// # Errors
            /// An option cannot be; an argument could not be encoded or stored; the agent is gone.
            #[track_caller]
            #visibility fn remote(self, #(#names: impl ::plasmon::IntoArgument<#values>),*) -> ::std::result::Result<#returns, ::plasmon::Error> {
                let arguments = ::std::vec![#(#encode),*];
                let mut results = ::plasmon::macros::submit(#path, self.options, arguments, #count)?.into_iter();
                ::std::result::Result::Ok(#collect)
            }

            /// Changes how the next call runs: what `options` says, and nothing else.
            #[must_use]
            #visibility const fn options(self, options: ::plasmon::TaskOptions) -> Self {
                Self { options: options.over(self.options) }
            }

            /// Calls the function here, in this process.
            #visibility fn call(self, #inputs) #output {
                Self::#name(#(#names),*)
            }

            #(#attributes)*
            fn #name(#inputs) #output #body
        }

        #[allow(non_snake_case, clippy::unit_arg, clippy::let_unit_value)]
        fn #run(call: &mut ::plasmon::macros::Call) -> ::std::result::Result<(), ::plasmon::macros::Failure> {
            #(#fetches)*
            #errors
            let #bind = #kind::#name(#(#passes),*)#fails;
            #(#gives)*
            ::std::result::Result::Ok(())
        }

        #[::plasmon::macros::linkme::distributed_slice(::plasmon::macros::REMOTE_FUNCTIONS)]
        #[linkme(crate = ::plasmon::macros::linkme)]
        #[allow(non_upper_case_globals)]
        static #entry: ::plasmon::macros::RemoteFunction =
            ::plasmon::macros::RemoteFunction { name: #path, file: ::std::file!(), line: #line, run: #run };
    }
}
