%% SPDX-License-Identifier: Apache-2.0
%% @doc State that all contexts and all of Erlang share: keys and values in an
%% ETS table.
%%
%% A name is one key, whether it is written as atom, binary or string, and
%% whether it comes from Erlang or from Python; so keys come back as binaries.
%% That holds inside tuples as well.  Counters change atomically.  There are at
%% most `state_max' entries (configuration).
%%
%% This process owns the table and does nothing else.
-module(py_state).
-behaviour(gen_server).

-export([start_link/0, services/0]).
-export([fetch/1, store/2, remove/1, keys/0, clear/0, incr/1, incr/2, decr/1, decr/2]).
-export([key/1]).
-export([init/1, handle_call/3, handle_cast/2]).

-define(TABLE, py_state).
%% How many entries there are.  No key of a user is an atom.
-define(SIZE, size).

-type key() :: term().
-type failure() :: {error, not_started | {state_full, pos_integer()}}.

%%% For Erlang

%% @doc The value of a key.
-spec fetch(key()) -> {ok, term()} | {error, not_found | not_started}.
fetch(Key) ->
    started(fun() ->
                    case ets:lookup(?TABLE, key(Key)) of
                        [{_, Value}] -> {ok, Value};
                        [] -> {error, not_found}
                    end
            end).

%% @doc Store a value; a key that is there gets the new one.
-spec store(key(), term()) -> ok | failure().
store(Key, Value) ->
    started(fun() -> put_value(key(Key), Value) end).

%% @doc Remove a key; fine if it is not there.
-spec remove(key()) -> ok | failure().
remove(Key) ->
    started(fun() -> take(key(Key)) end).

%% @doc All keys.
-spec keys() -> [key()] | failure().
keys() ->
    started(fun all_keys/0).

all_keys() ->
    ets:select(?TABLE, [{{'$1', '_'}, [{'=/=', '$1', ?SIZE}], ['$1']}]).

%% @doc Remove all keys that are there now.
-spec clear() -> ok | failure().
clear() ->
    started(fun() -> lists:foreach(fun take/1, all_keys()) end).

%% @doc Add one to a counter.
-spec incr(key()) -> integer() | {error, term()}.
incr(Key) ->
    incr(Key, 1).

%% @doc Add to a counter, and get its new value.  One that is not there is 0;
%% a value that is not an integer stays what it is.
-spec incr(key(), integer()) -> integer() | {error, {not_an_integer, key()} | term()}.
incr(Key, By) when is_integer(By) ->
    started(fun() -> add(key(Key), By) end);
incr(_, By) ->
    {error, {invalid, by, By}}.

%% @doc Subtract one from a counter.
-spec decr(key()) -> integer() | {error, term()}.
decr(Key) ->
    incr(Key, -1).

%% @doc Subtract from a counter, as `incr/2' adds.
-spec decr(key(), integer()) -> integer() | {error, term()}.
decr(Key, By) when is_integer(By) ->
    incr(Key, -By);
decr(_, By) ->
    {error, {invalid, by, By}}.

%% @private The key that this one means.
-spec key(term()) -> term().
key(Binary) when is_binary(Binary) -> Binary;
key(Atom) when is_atom(Atom) -> atom_to_binary(Atom, utf8);
key(List) when is_list(List) -> text(List);
key(Tuple) when is_tuple(Tuple) -> list_to_tuple([key(E) || E <- tuple_to_list(Tuple)]);
key(Other) -> Other.

text(List) ->
    try unicode:characters_to_binary(List) of
        Text when is_binary(Text) -> Text;
        _ -> List
    catch
        error:badarg -> List
    end.

%% The table may go at any time, with the application.
started(Fun) ->
    case ets:whereis(?TABLE) of
        undefined -> {error, not_started};
        Table -> started(Table, Fun)
    end.

started(Table, Fun) ->
    try
        Fun()
    catch
        error:badarg:Stack ->
            case ets:whereis(?TABLE) of
                Table -> erlang:raise(error, badarg, Stack);
                _ -> {error, not_started}
            end
    end.

%%% The table

%% Others may store and remove the same key meanwhile: then it is tried again.
put_value(Key, Value) ->
    case ets:update_element(?TABLE, Key, {2, Value}) of
        true -> ok;
        false -> put_new(Key, Value, fun() -> put_value(Key, Value) end)
    end.

put_new(Key, Value, Again) ->
    case reserve() of
        ok ->
            case ets:insert_new(?TABLE, {Key, Value}) of
                true -> ok;
                false -> give_back(), Again()
            end;
        {error, _} = Full ->
            Full
    end.

%% The size never passes the maximum, however many try together.
reserve() ->
    Max = terrarium_config:get(state_max),
    case ets:update_counter(?TABLE, ?SIZE, [{2, 0}, {2, 1, Max, Max}]) of
        [Before, _] when Before < Max -> ok;
        _ -> {error, {state_full, Max}}
    end.

give_back() ->
    ets:update_counter(?TABLE, ?SIZE, -1).

take(Key) ->
    case ets:take(?TABLE, Key) of
        [_] -> _ = give_back(), ok;
        [] -> ok
    end.

add(Key, By) ->
    try
        ets:update_counter(?TABLE, Key, By)
    catch
        error:badarg -> add_to(ets:lookup(?TABLE, Key), Key, By)
    end.

add_to([{_, Value}], Key, _) when not is_integer(Value) ->
    {error, {not_an_integer, Key}};
add_to([_], Key, By) ->
    add(Key, By);
add_to([], Key, By) ->
    case put_new(Key, By, fun() -> add(Key, By) end) of
        ok -> By;
        Other -> Other
    end.

%%% For Python

%% @private
-spec services() -> [{py_registry:function_key(), fun(([term()]) -> term())}].
services() ->
    [{{<<"state">>, Name}, Fun} ||
        {Name, Fun} <- [{<<"get">>, fun([K]) -> said(fetch(K)) end},
                        {<<"set">>, fun([K, V]) -> said(store(K, V)) end},
                        {<<"delete">>, fun([K]) -> said(remove(K)) end},
                        {<<"keys">>, fun([]) -> said(keys()) end},
                        {<<"clear">>, fun([]) -> said(clear()) end},
                        {<<"incr">>, fun([K, By]) -> said(incr(K, By)) end}]].

said({error, {state_full, Max}}) -> {full, Max};
said({error, {What, _}}) -> What;
said({error, What}) -> What;
said(Number) when is_integer(Number) -> {ok, Number};
said(Keys) when is_list(Keys) -> {ok, Keys};
said(Other) -> Other.

%%% The process

%% @private Start the owner of the table.
-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    case gen_server:start_link({local, ?MODULE}, ?MODULE, [], []) of
        {ok, Pid} -> {ok, Pid};
        ignore -> {error, ignore};
        {error, _} = Error -> Error
    end.

%% @private
-spec init([]) -> {ok, state}.
init([]) ->
    ?TABLE = ets:new(?TABLE, [named_table, public, set, {read_concurrency, true},
                              {write_concurrency, true}]),
    true = ets:insert(?TABLE, {?SIZE, 0}),
    {ok, state}.

%% @private
-spec handle_call(term(), gen_server:from(), state) -> {reply, {error, unknown}, state}.
handle_call(_, _, State) ->
    {reply, {error, unknown}, State}.

%% @private
-spec handle_cast(term(), state) -> {noreply, state}.
handle_cast(_, State) ->
    {noreply, State}.
