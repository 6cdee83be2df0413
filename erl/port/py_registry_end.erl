%% SPDX-License-Identifier: Apache-2.0
%% @doc What is left in the tables of `py_registry' when a port is closed, or a context was
%% killed, which could not see to it.
-module(py_registry_end).

-export([closed/1, killed/2]).

%% @doc The port is closed: nothing of it is left, unless a courier still sees to that.
-spec closed(port()) -> ok.
closed(Port) ->
    case py_registry:courier(Port) of
        none -> py_registry:drop_grants(Port);
        Courier -> closed(Port, is_process_alive(Courier))
    end.

closed(_, true) ->
    ok;
closed(Port, false) ->
    ok = py_registry:drop_grants(Port),
    py_registry:drop_courier(Port).

%% @doc The context is gone, perhaps as it should, and with it this port of a helper.
-spec killed(pid(), port() | none) -> ok.
killed(Context, none) ->
    py_registry:withdraw(Context, unknown);
killed(Context, Port) ->
    ok = closed(Port),
    killed(Context, none).
