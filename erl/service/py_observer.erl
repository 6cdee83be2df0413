%% SPDX-License-Identifier: Apache-2.0
%% @doc Offers to Python the services by which it can be watched: what it
%% prints.
-module(py_observer).
-behaviour(gen_server).

-export([start_link/0]).
-export([init/1, handle_call/3, handle_cast/2]).

%% @doc Start it; before any context.
-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    case gen_server:start_link({local, ?MODULE}, ?MODULE, [], []) of
        {ok, Pid} -> {ok, Pid};
        ignore -> {error, ignore};
        {error, _} = Error -> Error
    end.

services() ->
    [{{<<"io">>, <<"put">>}, fun py_stdout:service_put/1}].

%% @private
-spec init([]) -> {ok, state}.
init([]) ->
    lists:foreach(fun({Key, Fun}) -> ok = py_registry:put_function(Key, Fun) end, services()),
    {ok, state}.

%% @private
-spec handle_call(term(), gen_server:from(), state) -> {reply, {error, unknown}, state}.
handle_call(_Request, _From, State) ->
    {reply, {error, unknown}, State}.

%% @private
-spec handle_cast(term(), state) -> {noreply, state}.
handle_cast(_Message, State) ->
    {noreply, State}.
