%% SPDX-License-Identifier: Apache-2.0
%% @doc The end of a zygote that is asked to end, in the process that owns its port.
-module(py_runtime_end).

-export([shut_down/2]).

%% @doc Ask the zygote to end, see to it that it does, and close the port.  The halves
%% of its end (socket, process) lie at most `CollectMs' apart.
-spec shut_down(port(), pos_integer()) -> ok.
shut_down(Port, CollectMs) ->
    _ = py_port:send(Port, #{type => shutdown}),
    case await_exit(Port, terrarium_config:get(stop_timeout), CollectMs) of
        ok ->
            ok;
        timeout ->
            _ = py_port:kill_zygote(Port),
            _ = await_exit(Port, CollectMs, CollectMs),
            ok
    end,
    py_port:close(Port).

%% The process is what counts; where it is not ours to reap, the socket is.
await_exit(Port, Timeout, CollectMs) ->
    receive
        {Port, {zygote_exit, _}} -> ok;
        {Port, {closed, _}} ->
            receive
                {Port, {zygote_exit, _}} -> ok
            after CollectMs -> ok
            end
    after Timeout -> timeout
    end.
