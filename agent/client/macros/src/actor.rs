//! What `#[plasmon::actor]` writes.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Attribute, Error, Expr, FnArg, Ident, ImplItem, ImplItemFn, ItemImpl, LitInt, Meta, Result, Token, Type, parse2};

use crate::reserve;
use crate::retried::{Retried, can_be_listed};
use crate::signature::{Parameter, Results, callable, fails, generic, outputs, parameter, returned};

/// What stands in the attribute: calls on `ActorOptions`.
struct Options(Vec<TokenStream>);

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut calls = Vec::new();
        while !input.is_empty() {
            let name: Ident = input.parse()?;
            input.parse::<Token![=]>()?;
            let value: Expr = input.parse()?;
            calls.push(match name.to_string().as_str() {
                "max_concurrency" | "max_restarts" | "max_task_retries" | "name" | "detached" => quote!(.#name(#value)),
                other => reserve::call(&name, &value).ok_or_else(|| {
                    let own = "max_concurrency, max_restarts, max_task_retries, name and detached";
                    Error::new(name.span(), format!("unknown option '{other}'; there are {}, {own}", reserve::NAMES))
                })?,
            });
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(Self(calls))
    }
}

/// The actor's type, and the names of what is made for it.
struct Class {
    name: Ident,
    handle: Ident,
    /// What `new` is visible to.
    visibility: syn::Visibility,
}

pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let Options(options) = parse2(attribute)?;
    let mut block: ItemImpl = parse2(item)?;
    if let Some((_, path, _)) = &block.trait_ {
        return Err(Error::new(path.span(), "an actor's methods are in an impl block of its own, not in one of a trait"));
    }
    if !block.generics.params.is_empty() {
        return Err(Error::new(block.generics.span(), "an actor's type cannot be generic: workers know it by its name"));
    }
    let name = match &*block.self_ty {
        Type::Path(path) if path.qself.is_none() && path.path.get_ident().is_some() => path.path.get_ident().cloned(),
        _ => None,
    };
    let Some(name) = name else { return Err(Error::new(block.self_ty.span(), "an actor's type is named by a plain name")) };
    let mut constructor = None;
    let mut methods = Vec::new();
    for item in &mut block.items {
        let ImplItem::Fn(function) = item else { continue };
        let said = Method::take(&mut function.attrs)?;
        if function.sig.ident == "new" {
            constructor = Some(function.clone());
        } else if let Some(FnArg::Receiver(receiver)) = function.sig.inputs.first() {
            if receiver.reference.is_none() || receiver.colon_token.is_some() {
                return Err(Error::new(receiver.span(), "a method of an actor takes &self or &mut self"));
            }
            let alone = receiver.mutability.is_some();
            methods.push((function.clone(), alone, said));
        }
    }
    let Some(constructor) = constructor else {
        return Err(Error::new(name.span(), "an actor needs a constructor: fn new(..) -> Self, or -> Result<Self, E>"));
    };
    let class = Class { handle: format_ident!("{name}Handle"), name, visibility: constructor.vis.clone() };
    let create = create(&class, &constructor, &options)?;
    let calls = methods.iter().map(|(function, alone, said)| method(&class, function, *alone, said)).collect::<Result<Vec<_>>>()?;
    let methods = calls.iter().map(|(method, _)| method);
    let entries = calls.iter().map(|(_, entry)| entry);
    let handle = handle(&class);
    let ident = &class.handle;
    Ok(quote! {
        #block
        #create
        #handle

        #[allow(clippy::too_many_arguments, dead_code)]
        impl #ident {
            #(#methods)*
        }

        #(#entries)*
    })
}

/// The type of the actor's handles.
fn handle(Class { name, handle, .. }: &Class) -> TokenStream {
    let about = format!("A handle to an actor of type [`{name}`]: its methods call the actor's.");
    quote! {
        #[doc = #about]
        #[allow(unreachable_pub)]
        #[derive(Clone, PartialEq, Eq, Hash, Debug, ::plasmon::macros::serde::Serialize, ::plasmon::macros::serde::Deserialize)]
        #[serde(crate = "::plasmon::macros::serde", transparent)]
        pub struct #handle {
            actor: ::plasmon::ActorHandle,
        }

        impl ::plasmon::Actor for #name {
            type Handle = #handle;
            const CLASS: &'static str = ::std::concat!(::std::module_path!(), "::", ::std::stringify!(#name));
        }

        impl ::std::convert::From<::plasmon::ActorHandle> for #handle {
            fn from(actor: ::plasmon::ActorHandle) -> Self {
                Self { actor }
            }
        }

        impl ::std::convert::AsRef<::plasmon::ActorHandle> for #handle {
            fn as_ref(&self) -> &::plasmon::ActorHandle {
                &self.actor
            }
        }

        impl ::std::ops::Deref for #handle {
            type Target = ::plasmon::ActorHandle;

            fn deref(&self) -> &::plasmon::ActorHandle {
                &self.actor
            }
        }

        impl ::plasmon::IntoArgument<#handle> for &#handle {
            fn into_argument(self) -> ::std::result::Result<::plasmon::macros::Encoded, ::plasmon::Error> {
                ::plasmon::IntoArgument::<#handle>::into_argument(::std::clone::Clone::clone(self))
            }
        }
    }
}

/// `Type::remote` and `Type::options`, and what runs the constructor.
fn create(class: &Class, function: &ImplItemFn, options: &[TokenStream]) -> Result<TokenStream> {
    let Class { name, handle, visibility } = class;
    callable(&function.sig, "an actor's constructor")?;
    let parameters = function.sig.inputs.iter().enumerate().map(|(index, input)| parameter(index, input)).collect::<Result<Vec<_>>>()?;
    let syn::ReturnType::Type(_, kind) = &function.sig.output else {
        return Err(Error::new(function.sig.span(), "an actor's constructor returns Self, or a Result<Self, E>"));
    };
    let fails = fails(generic(kind, "Result").is_some(), None);
    let Parts { names, values, encode, fetches, passes } = Parts::of(&parameters);
    let (values, encode) = (values.collect::<Vec<_>>(), encode.collect::<Vec<_>>());
    let creation = format_ident!("{name}Creation");
    let entry = entry(
        class,
        &function.sig.ident,
        &quote! {
            #(#fetches)*
            let actor = <#name>::new(#(#passes),*)#fails;
            call.become_actor(actor);
            ::std::result::Result::Ok(())
        },
    );
    let about = format!("Creates an actor of type [`{name}`], as its options say.");
    Ok(quote! {
        #[allow(clippy::too_many_arguments, dead_code)]
        impl #name {
            /// Creates an actor in a worker of its own; arguments are those of `new`.
            ///
            /// # Errors
            /// An argument could not be encoded or stored; a live actor has the name already; the agent is gone.
            #[track_caller]
            #visibility fn remote(#(#names: impl ::plasmon::IntoArgument<#values>),*) -> ::std::result::Result<#handle, ::plasmon::Error> {
                let options = ::plasmon::ActorOptions::new()#(#options)*;
                ::plasmon::macros::create::<Self>(#name::__PLASMON_CONSTRUCTOR, &options, ::std::vec![#(#encode),*])
            }

            /// Changes how the next actor lives: what `options` says, and nothing else.
            #[must_use]
            #visibility fn options(options: ::plasmon::ActorOptions) -> #creation {
                #creation { options: options.over(::plasmon::ActorOptions::new()#(#options)*) }
            }

            #[doc(hidden)]
            const __PLASMON_CONSTRUCTOR: &'static str = ::std::concat!(::std::module_path!(), "::", ::std::stringify!(#name), "::new");
        }

        #[doc = #about]
        #[allow(unreachable_pub)]
        #[derive(Clone, Debug)]
        pub struct #creation {
            options: ::plasmon::ActorOptions,
        }

        #[allow(clippy::too_many_arguments, dead_code)]
        impl #creation {
            /// Creates the actor; arguments are those of `new`.
            ///
            /// # Errors
            /// An argument could not be encoded or stored; an option is out of range; a live actor has the name already; the agent is
            /// gone.
            #[track_caller]
            #visibility fn remote(self, #(#names: impl ::plasmon::IntoArgument<#values>),*) -> ::std::result::Result<#handle, ::plasmon::Error> {
                ::plasmon::macros::create::<#name>(#name::__PLASMON_CONSTRUCTOR, &self.options, ::std::vec![#(#encode),*])
            }
        }

        #entry
    })
}

/// The handle's method, and what runs the actor's.
fn method(class: &Class, function: &ImplItemFn, alone: bool, said: &Method) -> Result<(TokenStream, TokenStream)> {
    let name = &class.name;
    let (visibility, ident) = (&function.vis, &function.sig.ident);
    callable(&function.sig, "a method of an actor")?;
    let inputs = function.sig.inputs.iter().skip(1);
    let parameters = inputs.enumerate().map(|(index, input)| parameter(index, input)).collect::<Result<Vec<_>>>()?;
    let (fallible, output) = returned(&function.sig.output);
    can_be_listed(fallible, said.listed())?;
    let outputs = outputs(&output, said.num_returns)?;
    let count = outputs.len();
    let Results { returns, collect, bind, gives } = Results::of(&outputs);
    let (fails, retries) = (fails(fallible, said.listed()), said.retries());
    let Parts { names, values, encode, fetches, passes } = Parts::of(&parameters);
    let docs: Vec<&Attribute> = function.attrs.iter().filter(|attribute| attribute.path().is_ident("doc")).collect();
    let about = format!("Calls [`{name}::{ident}`].");
    let docs = if docs.is_empty() { quote!(#[doc = #about]) } else { quote!(#(#docs)*) };
    let method = quote! {
        #docs
        ///
        /// # Errors
        /// An argument could not be encoded or stored; the agent is gone. That the actor is dead, or the method fails, every `get` of
        /// the result says.
        #[track_caller]
        #visibility fn #ident(&self, #(#names: impl ::plasmon::IntoArgument<#values>),*) -> ::std::result::Result<#returns, ::plasmon::Error> {
            let path = ::std::concat!(::std::module_path!(), "::", ::std::stringify!(#name), "::", ::std::stringify!(#ident));
            let mut results = ::plasmon::macros::call(&self.actor, path, ::std::vec![#(#encode),*], #count, #retries)?.into_iter();
            ::std::result::Result::Ok(#collect)
        }
    };
    // Poisoned by a method that panicked: the actor goes on with what that left.
    let (lock, borrow) = if alone { (quote!(write), quote!(&mut actor)) } else { (quote!(read), quote!(&actor)) };
    let bindings = if alone { quote!(let mut actor) } else { quote!(let actor) };
    let body = quote! {
        #(#fetches)*
        let actor = call.actor::<#name>()?;
        #bindings = actor.#lock().unwrap_or_else(::std::sync::PoisonError::into_inner);
        call.locked();
        let #bind = <#name>::#ident(#borrow, #(#passes),*)#fails;
        ::std::mem::drop(actor);
        #(#gives)*
        ::std::result::Result::Ok(())
    };
    Ok((method, entry(class, ident, &body)))
}

/// Makes a function known to workers.
fn entry(Class { name, .. }: &Class, function: &Ident, body: &TokenStream) -> TokenStream {
    let line = quote_spanned!(function.span()=> ::std::line!());
    quote! {
        const _: () = {
            #[allow(clippy::unit_arg, clippy::let_unit_value)]
            fn run(call: &mut ::plasmon::macros::Call) -> ::std::result::Result<(), ::plasmon::macros::Failure> {
                #body
            }

            #[::plasmon::macros::linkme::distributed_slice(::plasmon::macros::REMOTE_FUNCTIONS)]
            #[linkme(crate = ::plasmon::macros::linkme)]
            static ENTRY: ::plasmon::macros::RemoteFunction = ::plasmon::macros::RemoteFunction {
                name: ::std::concat!(::std::module_path!(), "::", ::std::stringify!(#name), "::", ::std::stringify!(#function)),
                file: ::std::file!(),
                line: #line,
                run,
            };
        };
    }
}

/// Parameters, taken apart.
struct Parts<'a, V, E, F, P> {
    names: Vec<&'a Ident>,
    values: V,
    encode: E,
    fetches: F,
    passes: P,
}

impl Parts<'_, (), (), (), ()> {
    fn of(
        parameters: &[Parameter],
    ) -> Parts<
        '_,
        impl Iterator<Item = &TokenStream>,
        impl Iterator<Item = TokenStream>,
        impl Iterator<Item = &TokenStream>,
        impl Iterator<Item = &TokenStream>,
    > {
        Parts {
            names: parameters.iter().map(|parameter| &parameter.name).collect(),
            values: parameters.iter().map(|parameter| &parameter.value),
            encode: parameters.iter().map(|parameter| {
                let (name, value) = (&parameter.name, &parameter.value);
                quote!(::plasmon::IntoArgument::<#value>::into_argument(#name))
            }),
            fetches: parameters.iter().map(|parameter| &parameter.fetch),
            passes: parameters.iter().map(|parameter| &parameter.pass),
        }
    }
}

/// What `#[method(..)]` says of a method.
#[derive(Default)]
struct Method {
    num_returns: Option<usize>,
    max_task_retries: Option<Expr>,
    retried: Option<Retried>,
}

impl Method {
    /// Takes the attribute away.
    fn take(attributes: &mut Vec<Attribute>) -> Result<Self> {
        let Some(index) = attributes.iter().position(|attribute| attribute.path().is_ident("method")) else { return Ok(Self::default()) };
        let attribute = attributes.remove(index);
        let Meta::List(list) = &attribute.meta else { return Err(Error::new(attribute.span(), "write #[method(num_returns = N)]")) };
        list.parse_args()
    }

    /// Whether `error` is worth a retry, where that is said of errors one by one.
    fn listed(&self) -> Option<&TokenStream> {
        match &self.retried {
            Some(Retried::Listed(listed)) => Some(listed),
            _ => None,
        }
    }

    /// The value that tells the agent of it.
    fn retries(&self) -> TokenStream {
        let most = match &self.max_task_retries {
            Some(most) => quote!(::std::option::Option::Some(#most)),
            None => quote!(::std::option::Option::None),
        };
        let retried = match &self.retried {
            None => quote!(::plasmon::macros::RetryExceptions::Never),
            Some(Retried::All(all)) => quote!(::plasmon::macros::all_or_none(#all)),
            Some(Retried::Listed(_)) => quote!(::plasmon::macros::RetryExceptions::Listed),
        };
        quote!(::plasmon::macros::CallRetries { max_task_retries: #most, retry_exceptions: #retried })
    }
}

impl Parse for Method {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut method = Self::default();
        while !input.is_empty() {
            let name: Ident = input.parse()?;
            input.parse::<Token![=]>()?;
            match name.to_string().as_str() {
                "num_returns" => method.num_returns = Some(input.parse::<LitInt>()?.base10_parse()?),
                "max_task_retries" => method.max_task_retries = Some(input.parse()?),
                "retry_exceptions" => method.retried = Some(input.parse()?),
                other => {
                    let there = "there are num_returns, max_task_retries and retry_exceptions";
                    return Err(Error::new(name.span(), format!("unknown option '{other}'; {there}")));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(method)
    }
}
