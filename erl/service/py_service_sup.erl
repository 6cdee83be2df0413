%% SPDX-License-Identifier: Apache-2.0
%% @doc The services that Python calls: their processes, and their names among
%% the functions that Python may call.
-module(py_service_sup).
-behaviour(supervisor).

-export([start_link/0]).
-export([init/1]).

%% @doc Start the services.
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
    lists:foreach(fun({Name, Fun}) -> ok = py_registry:put_function(Name, Fun) end,
                  services()),
    Children = [child(py_state, worker, 5000),
                child(py_semaphore, worker, 5000),
                child(py_channel_sup, supervisor, infinity)],
    {ok, {#{strategy => one_for_one, intensity => 3, period => 10}, Children}}.

services() ->
    py_wait:services() ++ py_state:services() ++ py_shared_dict:services() ++
        py_message:services() ++ py_channel:services() ++ py_buffer:services() ++
        py_shm:services() ++ py_slot:services().

child(Module, Type, Shutdown) ->
    #{id => Module, start => {Module, start_link, []}, type => Type, shutdown => Shutdown}.
