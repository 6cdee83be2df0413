%% SPDX-License-Identifier: Apache-2.0
%% @doc References to Python objects that live in a context.
%%
%% A reference belongs to one life of one context's helper (its generation).
%% After a restart it is stale: `{error, {stale_ref, Ref}}'.  The object stays
%% alive until the last copy of the reference has been collected (its handle
%% tells the context), `py_context:release/1', or the end of the helper.
%%
%% In arguments it goes to Python as this record, and the helper puts the object
%% in its place (c_src/helper/etf_decode.c).
-module(py_ref).

-export([new/3, is_ref/1, context/1, generation/1, id/1, handle/1, with_handle/2, is_held/1,
         stale/3, collected/3]).

-include("../../port/py_wire.hrl").

%% So many objects are let go of by one frame, at most.
-define(MOST, 200).

-export_type([t/0]).

-record(py_ref, {context :: pid(), generation :: pos_integer(), id :: non_neg_integer(),
                 handle :: reference() | py_lent:lent()}).

-opaque t() :: #py_ref{}.
%% A reference to a Python object.

%% @doc A reference as a helper answered it.
-spec new(pid(), pos_integer(), non_neg_integer()) -> t().
new(Context, Generation, Id) ->
    #py_ref{context = Context, generation = Generation, id = Id,
            handle = py_ref_nif:new(Context, Generation, Id)}.

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

%% @doc What tells when nobody holds it.
-spec handle(t()) -> reference() | py_lent:lent().
handle(#py_ref{handle = Handle}) -> Handle.

%% @doc The same object, held by another handle.
-spec with_handle(reference() | py_lent:lent(), t()) -> t().
with_handle(Handle, Ref) -> Ref#py_ref{handle = Handle}.

%% @doc Is the object held by this handle, as far as this node knows?  It knows of its own
%% ones.
-spec is_held(t()) -> boolean().
is_held(#py_ref{handle = Handle}) when is_reference(Handle), node(Handle) =/= node() -> true;
is_held(#py_ref{handle = Handle}) -> py_ref_nif:is_held(Handle).

%% @doc A reference in this term that is none to an object of this life of this
%% context, or that is no longer one.
-spec stale(term(), pid(), pos_integer()) -> {ok, t()} | none.
stale(Term, Context, Generation) ->
    Refs = refs(Term, []),
    case [R || #py_ref{context = C, generation = G} = R <- Refs,
               C =/= Context orelse G =/= Generation] ++ Refs of
        [Ref | _] -> {ok, Ref};
        [] -> none
    end.

refs(#py_ref{} = Ref, Acc) -> [Ref | Acc];
refs([H | T], Acc) -> refs(T, refs(H, Acc));
refs(Tuple, Acc) when is_tuple(Tuple) -> refs(tuple_to_list(Tuple), Acc);
refs(Map, Acc) when is_map(Map) -> refs(maps:to_list(Map), Acc);
refs(_, Acc) -> Acc.

%% @doc The process of a context was told that a handle has been collected: let
%% go of its object, and of those that its mailbox tells of as well, if they are
%% of a helper that still answers, whose row this is.
-spec collected(pos_integer(), non_neg_integer(), py_registry:row() | gone) -> ok.
collected(Generation, Id, Row) ->
    Ids = others(Generation, [Id], 1),
    _ = case Row of
            {ready, Port, Generation, _, _} ->
                py_port:notice(Port, ?FRAME_RELEASE, term_to_binary({Ids}));
            _ ->
                ok
        end,
    ok.

others(_, Ids, ?MOST) ->
    Ids;
others(Generation, Ids, N) ->
    receive
        {py_release, Generation, Id} -> others(Generation, [Id | Ids], N + 1)
    after 0 -> Ids
    end.
