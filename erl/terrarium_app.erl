%% SPDX-License-Identifier: Apache-2.0
%% @doc The application: reads the configuration, starts the tree.
%% A bad value in the environment refuses the start and names its key:
%% `{error, {invalid, Key, Value}}'.
-module(terrarium_app).
-behaviour(application).

-export([start/2, stop/1]).

%% @doc Called by `application:start(terrarium)'.
-spec start(application:start_type(), term()) -> {ok, pid()} | {error, term()}.
start(_Type, _Args) ->
    case terrarium_config:load() of
        {ok, Config} ->
            ok = terrarium_config:store(Config),
            case pools(maps:to_list(maps:get(pools, Config))) of
                ok ->
                    ok = py_sandbox_plan:open(),
                    terrarium_sup:start_link();
                {error, _} = Error -> Error
            end;
        {error, _} = Error ->
            Error
    end.

%% The options of a pool are those of contexts.
pools([]) ->
    ok;
pools([{Name, Options} | Rest]) ->
    case py_pool:spec(maps:remove(size, Options)) of
        {ok, _} -> pools(Rest);
        {error, {invalid, Key, Value}} -> {error, {invalid, pools, {Name, Key, Value}}}
    end.

%% @doc Called after the tree has ended.
-spec stop(term()) -> ok.
stop(_State) ->
    ok = py_sandbox_plan:close(),
    terrarium_config:forget().
