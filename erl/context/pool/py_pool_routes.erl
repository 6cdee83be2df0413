%% SPDX-License-Identifier: Apache-2.0
%% @doc Which pool serves which module or function, where a call names neither
%% a context nor a pool.
%%
%% The registrations are one persistent term, which is not there while there
%% are none: then a call costs one look for it.  They are changed by the router's
%% process only, one after the other.
-module(py_pool_routes).

-export([pool/2, add/3, remove/1, list/0, clear/0]).
-export([key/1]).

-export_type([key/0]).

-define(KEY, '$py_pool_routes').

-type key() :: binary() | {binary(), binary()}.
%% A module, or a function of a module.

%% @doc The pool that a call of this function goes to.
-spec pool(terrarium_config:name(), terrarium_config:name()) -> atom().
pool(Module, Function) ->
    case persistent_term:get(?KEY, none) of
        none -> default;
        Routes -> find(Module, Function, Routes)
    end.

find(Module, Function, Routes) ->
    case {py_prepare:text(Module), py_prepare:text(Function)} of
        {M, F} when is_map_key({M, F}, Routes) -> element(2, maps:get({M, F}, Routes));
        {M, _} when is_map_key(M, Routes) -> element(2, maps:get(M, Routes));
        _ -> default
    end.

%% @doc The key for a module or `{Module, Function}'.
-spec key(term()) -> {ok, key()} | error.
key({Module, Function}) ->
    case {terrarium_config:name(Module), terrarium_config:name(Function)} of
        {{ok, M}, {ok, F}} -> {ok, {M, F}};
        _ -> error
    end;
key(Module) ->
    terrarium_config:name(Module).

%% @doc From now on this pool serves it.
-spec add(key(), term(), atom()) -> ok.
add(Key, Given, Pool) ->
    persistent_term:put(?KEY, (all())#{Key => {Given, Pool}}).

%% @doc Whatever served it, the default pool does again.
-spec remove(key()) -> ok.
remove(Key) ->
    case maps:remove(Key, all()) of
        Left when map_size(Left) =:= 0 -> clear();
        Left -> persistent_term:put(?KEY, Left)
    end.

%% @doc All registrations as they were given; for a whole module the function
%% is `_'.
-spec list() -> [{{terrarium_config:name(), terrarium_config:name()}, atom()}].
list() ->
    lists:sort([case Given of
                    {_, _} -> {Given, Pool};
                    Module -> {{Module, '_'}, Pool}
                end || {Given, Pool} <- maps:values(all())]).

%% @doc None any more.
-spec clear() -> ok.
clear() ->
    _ = persistent_term:erase(?KEY),
    ok.

all() ->
    persistent_term:get(?KEY, #{}).
