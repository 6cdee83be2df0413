%% SPDX-License-Identifier: Apache-2.0
%% @doc Identifiers that a helper has only as handles.
%%
%% A pid, port, reference or fun that goes to a helper that is not trusted is put down
%% in a table of that helper, and what goes is a handle: an identifier of a node that
%% there can not be (`c_src/wire/etf_handle.h'), with the number of its place.  That of
%% a fun, whose code and environment are nobody's business, is a reference.  What
%% comes back is looked up: so a helper can give back what it was given, and nothing
%% else.  The driver has refused all other identifiers by then.
%%
%% The last so many are remembered.  One that was forgotten is an error of whoever
%% sent it; a number that was never given out is a violation.
%%
%% The table belongs to the courier of the helper's port and ends with it.  Any process
%% that makes a request, or runs a callback, reads and writes it.
-module(py_handles).

-export([open/1, of_port/1, source/3, given/3, given/2, taken/3, has_handle/1]).

-export_type([handles/0, problem/0]).

-define(NODE, "py_handle").
%% Of a term with one in it.
-define(LEAST_BYTES, 20).
%% A number has its place in a port, which has 28 bits for it.
-define(MOST, 16#fffffff).

-opaque handles() :: {ets:table(), pos_integer()}.

-type problem() :: forged | forgotten.

%% @doc The calling process keeps the table of this port's helper, if its grants say
%% that it has handles.
-spec open(port()) -> ok.
open(Port) ->
    case py_registry:grants(Port) of
        {#{handles := Max}, _} ->
            %% The name is that of the node: so there is such an atom.
            Table = ets:new(py_handle, [public, set]),
            true = ets:insert(Table, {last, 0}),
            py_registry:put_handles(Port, {Table, Max});
        _ ->
            ok
    end.

%% @doc What the helper of this port has; `none' if it is trusted, or gone.
-spec of_port(port()) -> handles() | none.
of_port(Port) ->
    case py_registry:handles(Port) of
        none -> to_be_made(Port);
        Handles -> Handles
    end.

%% Its courier may not have been needed before.
to_be_made(Port) ->
    case py_grants:is_stranger(Port) of
        true -> py_courier:handles(Port);
        false -> none
    end.

%%% To the helper

%% @doc This term as the helper of this port is to have it, of a context with these
%% limits.
-spec given(port(), py_request:limits(), term()) -> term().
given(_, {_, Grace}, Term) when is_integer(Grace) -> Term;
given(Port, {_, {_, #{handles := true}}}, Term) ->
    case has_id(Term) of
        true -> given(of_port(Port), Term);
        false -> Term
    end;
given(_, _, Term) ->
    Term.

%% @doc This term as the helper is to have it.
-spec given(handles() | none, term()) -> term().
given(none, Term) ->
    Term;
given(Handles, Term) ->
    case has_id(Term) of
        true ->
            try
                map(Term, fun(Id) -> handle(Id, Handles) end, keep)
            catch
                error:badarg -> nothing % the table went with the helper, which reads no more
            end;
        false ->
            Term
    end.

handle(Id, {Table, _} = Handles) ->
    case ets:lookup(Table, {id, Id}) of
        [{_, N}] -> made(Id, N);
        [] -> made(Id, enter(Id, Handles))
    end.

%% Its number can be found only after it means something.
enter(Id, {Table, Max}) ->
    N = ets:update_counter(Table, last, 1),
    _ = N =< ?MOST orelse error(system_limit),
    true = ets:insert(Table, {N, Id}),
    case ets:insert_new(Table, {{id, Id}, N}) of
        true ->
            ok = forget(N - Max, Table),
            N;
        false -> % another process has been quicker
            true = ets:delete(Table, N),
            ets:lookup_element(Table, {id, Id}, 2)
    end.

forget(N, Table) ->
    case ets:take(Table, N) of
        [{_, Id}] ->
            true = ets:delete(Table, {id, Id}),
            ok;
        [] ->
            ok
    end.

made(Id, N) when is_pid(Id) ->
    decoded(<<88, (node_atom())/binary, N:32, 0:32, 1:32>>);
made(Id, N) when is_port(Id) ->
    decoded(<<89, (node_atom())/binary, N:32, 1:32>>);
made(Id, N) when is_reference(Id); is_function(Id) ->
    decoded(<<90, 3:16, (node_atom())/binary, 1:32, 0:32, N:32, 0:32>>).

node_atom() ->
    <<119, (length(?NODE)), ?NODE>>.

decoded(Etf) ->
    binary_to_term(<<131, Etf/binary>>).

%%% From the helper

%% @doc Where an answer comes from: the context, with the port if there are handles in
%% what it sends.
-spec source(port(), pid(), py_request:limits()) -> pid() | {pid(), port()}.
source(Port, Context, {_, {_, #{handles := true}}}) -> {Context, Port};
source(_, Context, _) -> Context.

%% @doc This term, which the helper has sent as these bytes, as others are to have
%% it; `gone': it is gone, and with it what its handles meant.
-spec taken(handles() | none | gone, binary(), term()) -> {ok, term()} | {error, problem()}.
taken(none, _, Term) ->
    {ok, Term};
taken(Handles, Etf, Term) ->
    case has_handle(Etf) of
        false -> {ok, Term};
        true when Handles =:= gone -> {error, forgotten};
        true -> looked_up(Handles, Term)
    end.

%% @doc Perhaps there is a handle in these bytes.  Most answers are too short for one.
-spec has_handle(binary()) -> boolean().
has_handle(Etf) when byte_size(Etf) < ?LEAST_BYTES -> false;
has_handle(Etf) -> binary:match(Etf, <<?NODE>>) =/= nomatch.

looked_up({Table, _}, Term) ->
    try
        {ok, map(Term, fun(Handle) -> meant(Handle, Table) end, look)}
    catch
        throw:{?MODULE, Problem} -> {error, Problem};
        error:badarg -> {error, forgotten} % it went just now
    end.

%% A number that is no handle's form would not have come this far.
meant(Handle, Table) ->
    N = number(Handle),
    case ets:lookup(Table, N) of
        [{_, Id}] -> same_kind(Handle, Id);
        [] -> throw({?MODULE, missing(N, ets:lookup_element(Table, last, 2))})
    end.

missing(N, Last) when N > 0, N =< Last -> forgotten;
missing(_, _) -> forged.

same_kind(Handle, Id) when is_pid(Handle), is_pid(Id) -> Id;
same_kind(Handle, Id) when is_port(Handle), is_port(Id) -> Id;
same_kind(Handle, Id) when is_reference(Handle), is_reference(Id) orelse is_function(Id) -> Id;
same_kind(_, _) -> throw({?MODULE, forged}).

%% Equal handles are made for equal numbers only.
number(Handle) ->
    Etf = term_to_binary(Handle),
    Size = byte_size(Etf),
    N = case Handle of
            _ when is_pid(Handle) -> binary:decode_unsigned(binary:part(Etf, Size - 12, 4));
            _ when is_port(Handle) -> binary:decode_unsigned(binary:part(Etf, Size - 8, 4));
            _ -> binary:decode_unsigned(binary:part(Etf, Size - 8, 4))
        end,
    case made(Handle, N) of
        Handle -> N;
        _ -> throw({?MODULE, forged})
    end.

%%% Terms

-define(IS_ID(T), (is_pid(T) orelse is_port(T) orelse is_reference(T) orelse is_function(T))).

%% To the helper those inside of references and segments are left as they are: Python
%% gets an object in the place of either.
-define(IS_OWN(T), (tuple_size(T) =:= 5 andalso element(1, T) =:= py_ref
                    orelse tuple_size(T) =:= 6 andalso element(1, T) =:= py_shm)).

has_id(T) when ?IS_ID(T) -> true;
has_id([H | T]) -> has_id(H) orelse has_id(T);
has_id(T) when is_tuple(T), ?IS_OWN(T) -> false;
has_id(T) when is_tuple(T) -> has_id(tuple_to_list(T));
has_id(T) when is_map(T), map_size(T) > 0 -> has_id(maps:to_list(T));
has_id(_) -> false.

map(T, F, _) when ?IS_ID(T) -> F(T);
map([H | T], F, Own) -> [map(H, F, Own) | map(T, F, Own)];
map(T, _, keep) when is_tuple(T), ?IS_OWN(T) -> T;
map(T, F, Own) when is_tuple(T) -> list_to_tuple(map(tuple_to_list(T), F, Own));
map(T, F, Own) when is_map(T) -> maps:from_list(map(maps:to_list(T), F, Own));
map(T, _, _) -> T.
