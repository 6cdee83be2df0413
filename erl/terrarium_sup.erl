%% SPDX-License-Identifier: Apache-2.0
%% @doc The top of the tree.  Order is dependency: whoever comes later uses
%% what came before, and starts again when that does (`rest_for_one').
-module(terrarium_sup).
-behaviour(supervisor).

-export([start_link/0]).
-export([init/1]).

%% @doc Start the tree.
-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    case supervisor:start_link({local, ?MODULE}, ?MODULE, []) of
        {ok, Pid} -> {ok, Pid};
        ignore -> {error, ignore};
        {error, _} = Error -> Error
    end.

%% @private
-spec init([]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init([]) ->
    Children = [
        child(py_registry, worker, 5000),
        child(py_observer, worker, 5000),
        child(py_lent, worker, 5000),
        child(py_service_sup, supervisor, infinity),
        child(py_namespace, worker, 5000),
        child(py_runtime_sup, supervisor, infinity),
        child(py_context_sup, supervisor, infinity),
        child(py_context_runs, worker, py_context_runs:most_ms())
    ] ++ py_cluster:children() ++ [
        child(py_context_router, worker, 5000)
    ],
    {ok, {#{strategy => rest_for_one, intensity => 3, period => 10}, Children}}.

child(Module, Type, Shutdown) ->
    #{id => Module, start => {Module, start_link, []}, type => Type, shutdown => Shutdown}.
