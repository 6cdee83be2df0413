%% SPDX-License-Identifier: Apache-2.0
%% @doc From the descriptors of a helper to a port that a context uses.
-module(py_context_helper).

-export([request/2, open/5, close/1]).

-include("../port/py_wire.hrl").

%% What a helper may send: pids, ports, references, funs; or handles only.
-define(TRUSTED, 3).
-define(UNTRUSTED, 4).

%% @doc What a zygote is asked for: a helper for a context with this name and these
%% options, what the helper is told, and how it is locked up.
-spec request(binary(), py_context_opts:options()) -> map().
request(Label, #{policy := Policy} = Options) ->
    Boot = startup(Policy, Options, (py_context_opts:boot(Options))#{name => Label}),
    Ahead = py_policy:ahead(Policy, maps:get(ahead, Options, 0)),
    Ahead#{boot => py_log_level:boot(maps:get(runtime, Options), Boot)}.

%% What all contexts begin with is the application's, and not for strangers.
startup(Policy, Options, Boot) ->
    case py_policy:level(Policy) of
        trusted -> py_startup:boot(Options, Boot);
        _ -> Boot
    end.

%% @doc Open a port with what came in `spawned'.  `stale': the zygote is gone,
%% and with it, perhaps, what the numbers meant; another event will say so.
-spec open([integer()], port(), pos_integer(), pid(), py_context_opts:options()) ->
    {ok, port()} | stale | {error, term()}.
open(Fds, Zygote, Job, Runtime, Options) ->
    Opened = py_port:open_helper(Fds, maps:get(lane, Options), flags(Options)),
    Valid = erlang:port_info(Zygote, id) =/= undefined,
    ok = py_runtime:adopted(Runtime, Job, case Opened of {ok, P} -> P; _ -> none end),
    case Opened of
        {ok, Stale} when not Valid ->
            %% Without settings the port has neither read from them nor will
            %% it kill by them.
            ok = py_port:close(Stale),
            stale;
        {error, _} when not Valid ->
            stale;
        {ok, Port} ->
            ok = py_grants:put(Port, py_policy:grants(maps:get(policy, Options))),
            ok = courier(Port, Options),
            Limits = py_policy:limits(maps:get(policy, Options)),
            _ = py_port:settings(Port, maps:merge(Limits, Options#{deadline_ms =>
                                                                       ?WIRE_FRAME_DEADLINE_MS})),
            watch(Port, Options),
            {ok, Port};
        {error, _} = Error ->
            Error
    end.

%% A helper that is used once has hardly ever something for it to do.
courier(_, #{single_use := true}) ->
    ok;
courier(Port, _) ->
    {ok, _} = py_courier:start_link(Port),
    ok.

%% @doc Close a port that was opened here.
-spec close(port()) -> ok.
close(Port) ->
    ok = py_port:close(Port),
    py_courier:closed(Port).

flags(#{policy := Policy}) ->
    case py_policy:level(Policy) of
        trusted -> ?TRUSTED;
        _ -> ?UNTRUSTED
    end.

watch(Port, Options) ->
    Calls = maps:get(calls, maps:get(recycle, Options, #{}), 0),
    case {Calls, maps:get(place, Options, 0)} of
        {0, 0} -> ok;
        {_, Place} -> _ = py_port:watch(Port, Calls, Place), ok
    end.
