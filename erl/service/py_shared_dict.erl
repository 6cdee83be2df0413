%% SPDX-License-Identifier: Apache-2.0
%% @doc Dictionaries that Erlang and Python share: an ETS table each, which goes
%% with the process that owns it.  Keys are as those of `py_state'.
-module(py_shared_dict).

-export([new/0, get/2, get/3, set/3, del/2, take/2, keys/1, count/1, destroy/1, services/0]).

-export_type([handle/0]).

-define(TABLE, py_shared_dict).

-opaque handle() :: {py_shared_dict, ets:tid()}.

%% @doc A new one, owned by the calling process.
-spec new() -> {ok, handle()}.
new() ->
    {ok, {?TABLE, ets:new(?TABLE, [public, set, {read_concurrency, true}])}}.

%% @doc The value of a key; `undefined' if it has none.
-spec get(handle(), term()) -> term() | {error, destroyed | {invalid, handle, term()}}.
get(Dict, Key) ->
    get(Dict, Key, undefined).

%% @doc The value of a key, or the default.
-spec get(handle(), term(), term()) -> term() | {error, destroyed | {invalid, handle, term()}}.
get(Dict, Key, Default) ->
    case find(Dict, Key) of
        {ok, Value} -> Value;
        missing -> Default;
        {error, _} = Error -> Error
    end.

find(Dict, Key) ->
    with(Dict, fun(Table) ->
                       case ets:lookup(Table, py_state:key(Key)) of
                           [{_, Value}] -> {ok, Value};
                           [] -> missing
                       end
               end).

%% @doc Set the value of a key.
-spec set(handle(), term(), term()) -> ok | {error, term()}.
set(Dict, Key, Value) ->
    with(Dict, fun(Table) ->
                       true = ets:insert(Table, {py_state:key(Key), Value}),
                       ok
               end).

%% @doc Remove a key; fine if it is not there.
-spec del(handle(), term()) -> ok | {error, term()}.
del(Dict, Key) ->
    case take(Dict, Key) of
        {error, _} = Error -> Error;
        _ -> ok
    end.

%% @doc Remove a key and get its value.
-spec take(handle(), term()) -> {ok, term()} | missing | {error, term()}.
take(Dict, Key) ->
    with(Dict, fun(Table) ->
                       case ets:take(Table, py_state:key(Key)) of
                           [{_, Value}] -> {ok, Value};
                           [] -> missing
                       end
               end).

%% @doc All keys.
-spec keys(handle()) -> [term()] | {error, term()}.
keys(Dict) ->
    with(Dict, fun(Table) -> ets:select(Table, [{{'$1', '_'}, [], ['$1']}]) end).

%% @doc How many keys there are.
-spec count(handle()) -> non_neg_integer() | {error, term()}.
count(Dict) ->
    with(Dict, fun(Table) ->
                       case ets:info(Table, size) of
                           undefined -> error(badarg);
                           Size -> Size
                       end
               end).

%% @doc Give it up before its owner ends; fine if it is no more.
-spec destroy(handle()) -> ok | {error, {invalid, handle, term()}}.
destroy(Dict) ->
    case with(Dict, fun(Table) -> ets:delete(Table) end) of
        true -> ok;
        {error, destroyed} -> ok;
        {error, _} = Error -> Error
    end.

%% Another process may destroy it at any time.  No other table is touched,
%% whatever Python gives us as a handle.
with({?TABLE, Tid}, Fun) ->
    case is_there(Tid) of
        true -> try Fun(Tid)
                catch error:badarg:Stack -> failed(is_there(Tid), Stack)
                end;
        false -> {error, destroyed}
    end;
with(Other, _) ->
    {error, {invalid, handle, Other}}.

is_there(Tid) ->
    try
        ets:info(Tid, name) =:= ?TABLE
    catch
        error:badarg -> false
    end.

failed(false, _) -> {error, destroyed};
failed(true, Stack) -> erlang:raise(error, badarg, Stack).

%%% For Python

%% @private
-spec services() -> [{py_registry:function_key(), fun(([term()]) -> term())}].
services() ->
    [{{<<"shared_dict">>, Name}, fun(Args) -> said(Fun(Args)) end} ||
        {Name, Fun} <- [{<<"new">>, fun([]) -> new_for_python() end},
                        {<<"check">>, fun([Dict]) -> count(Dict) end},
                        {<<"get">>, fun([Dict, Key]) -> find(Dict, Key) end},
                        {<<"set">>, fun([Dict, Key, Value]) -> set(Dict, Key, Value) end},
                        {<<"take">>, fun([Dict, Key]) -> take(Dict, Key) end},
                        {<<"keys">>, fun([Dict]) -> keys(Dict) end},
                        {<<"size">>, fun([Dict]) -> count(Dict) end},
                        {<<"destroy">>, fun([Dict]) -> destroy(Dict) end}]].

said({error, {invalid, _, _}}) -> invalid;
said({error, What}) -> What;
said(missing) -> missing;
said({ok, Value}) -> {ok, Value};
said(Value) -> {ok, Value}.

%% A process that runs one call only would take it along when it ends, and one of
%% another node can not have it.
new_for_python() ->
    {ok, {_, Table} = Dict} = new(),
    true = py_callback:caller() =:= self() orelse
        ets:give_away(Table, py_callback:context(), shared_dict),
    {ok, Dict}.
