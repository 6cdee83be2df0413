%% SPDX-License-Identifier: Apache-2.0
%% @doc References to Python objects that live in a context.
%%
%% A reference belongs to one life of one context's helper (its generation).
%% After a restart it is stale: `{error, {stale_ref, Ref}}'.  The object stays
%% alive until `py_context:release/1' or the end of the helper.
-module(py_ref).

-export([new/3, is_ref/1, context/1, generation/1, id/1]).

-export_type([t/0]).

-record(py_ref, {context :: pid(), generation :: pos_integer(), id :: non_neg_integer()}).

-opaque t() :: #py_ref{}.
%% A reference to a Python object.

%% @doc A reference as a helper answered it.
-spec new(pid(), pos_integer(), non_neg_integer()) -> t().
new(Context, Generation, Id) ->
    #py_ref{context = Context, generation = Generation, id = Id}.

%% @doc Is it one?
-spec is_ref(term()) -> boolean().
is_ref(#py_ref{context = Context, generation = G, id = Id})
  when is_pid(Context), is_integer(G), is_integer(Id) ->
    true;
is_ref(_) ->
    false.

%% @doc The context in which the object lives.
-spec context(t()) -> pid().
context(#py_ref{context = Context}) -> Context.

%% @doc The generation of that context's helper.
-spec generation(t()) -> pos_integer().
generation(#py_ref{generation = Generation}) -> Generation.

%% @doc The helper's number for the object.
-spec id(t()) -> non_neg_integer().
id(#py_ref{id = Id}) -> Id.
