//! What `#[plasmon::remote]` writes.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Error, Expr, FnArg, GenericArgument, Ident, ItemFn, LitInt, Pat, PathArguments, Result, ReturnType, Token, Type, parse2};

/// `num_cpus = .., max_retries = .., num_returns = ..`
#[derive(Default)]
struct Attribute {
    num_cpus: Option<Expr>,
    max_retries: Option<Expr>,
    num_returns: Option<usize>,
}

impl Parse for Attribute {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut attribute = Self::default();
        while !input.is_empty() {
            let name: Ident = input.parse()?;
            input.parse::<Token![=]>()?;
            match name.to_string().as_str() {
                "num_cpus" => attribute.num_cpus = Some(input.parse()?),
                "max_retries" => attribute.max_retries = Some(input.parse()?),
                "num_returns" => attribute.num_returns = Some(input.parse::<LitInt>()?.base10_parse()?),
                other => {
                    return Err(Error::new(
                        name.span(),
                        format!("unknown option '{other}'; there are num_cpus, max_retries and num_returns"),
                    ));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(attribute)
    }
}

/// One parameter of the function.
struct Parameter {
    name: Ident,
    /// What the object must be: `[N]`, or a type that goes through serde.
    value: TokenStream,
    /// How the call gets it.
    fetch: TokenStream,
    /// How it is passed to the function.
    pass: TokenStream,
}

/// One result of the function.
struct Output {
    /// `T` of the `ObjectRef<T>`.
    value: TokenStream,
    /// Wraps the value for [`Returned`].
    wrap: fn(TokenStream) -> TokenStream,
}

pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let attribute: Attribute = parse2(attribute)?;
    let function: ItemFn = parse2(item)?;
    let signature = &function.sig;
    if let Some(what) = signature.asyncness.map(|word| word.span()).or(signature.unsafety.map(|word| word.span())) {
        return Err(Error::new(what, "a remote function can be neither async nor unsafe"));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new(signature.generics.span(), "a remote function cannot be generic: workers know it by its name"));
    }
    let parameters = signature.inputs.iter().enumerate().map(|(index, input)| parameter(index, input)).collect::<Result<Vec<_>>>()?;
    let (fallible, returned) = returned(&signature.output);
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
    let types: Vec<_> = outputs.iter().map(|output| &output.value).collect();
    let results: Vec<_> = (0..count).map(|index| format_ident!("result_{index}")).collect();
    let next = quote!(results.next().ok_or_else(::plasmon::macros::no_result)?.typed());
    let each = results.iter().map(|_| &next);
    let (returns, collect, bind) = match &types[..] {
        [only] => (quote!(::plasmon::ObjectRef<#only>), next.clone(), quote!(result_0)),
        many => (quote!((#(::plasmon::ObjectRef<#many>),*)), quote!((#(#each),*)), quote!((#(#results),*))),
    };
    let gives = outputs.iter().zip(&results).map(|(output, result)| {
        let wrapped = (output.wrap)(quote!(#result));
        quote!(call.give(#wrapped)?;)
    });
    let fails = fallible.then(|| quote!(.map_err(|error| ::plasmon::macros::Failure::Value(::std::string::ToString::to_string(&error)))?));
    let cpus = attribute.num_cpus.as_ref().map(|cpus| quote!(.num_cpus((#cpus) as f64)));
    let retries = attribute.max_retries.as_ref().map(|retries| quote!(.max_retries(#retries)));
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
        #visibility const #name: #kind = #kind { options: ::plasmon::TaskOptions::new()#cpus #retries };

        #[allow(clippy::too_many_arguments, dead_code)]
        impl #kind {
            /// Submits a task.
            ///
            /// # Errors
            /// An argument could not be encoded or stored; the agent is gone.
            #[track_caller]
            #visibility fn remote(self, #(#names: impl ::plasmon::IntoArgument<#values>),*) -> ::std::result::Result<#returns, ::plasmon::Error> {
                let arguments = ::std::vec![#(#encode),*];
                let mut results = ::plasmon::macros::submit(#path, self.options, arguments, #count)?.into_iter();
                ::std::result::Result::Ok(#collect)
            }

            /// Changes how the next call runs.
            #[must_use]
            #visibility const fn options(self, options: ::plasmon::TaskOptions) -> Self {
                Self { options }
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
            let #bind = #kind::#name(#(#passes),*)#fails;
            #(#gives)*
            ::std::result::Result::Ok(())
        }

        #[::plasmon::macros::linkme::distributed_slice(::plasmon::macros::REMOTE_FUNCTIONS)]
        #[linkme(crate = ::plasmon::macros::linkme)]
        #[allow(non_upper_case_globals)]
        static #entry: ::plasmon::macros::RemoteFunction =
            ::plasmon::macros::RemoteFunction { name: #path, file: ::std::file!(), line: ::std::line!(), run: #run };
    }
}

fn parameter(index: usize, input: &FnArg) -> Result<Parameter> {
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
fn returned(output: &ReturnType) -> (bool, Type) {
    let ReturnType::Type(_, kind) = output else { return (false, syn::parse_quote!(())) };
    match generic(kind, "Result") {
        Some(inner) => (true, inner),
        None => (false, (**kind).clone()),
    }
}

fn outputs(returned: &Type, num_returns: Option<usize>) -> Result<Vec<Output>> {
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
fn generic(kind: &Type, name: &str) -> Option<Type> {
    let Type::Path(path) = kind else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(inner) => Some(inner.clone()),
        _ => None,
    })
}
