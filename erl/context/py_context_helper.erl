%% SPDX-License-Identifier: Apache-2.0
%% @doc From the descriptors of a helper to a port that a context uses.
-module(py_context_helper).

-export([request/2, open/5, close/1]).

%% What a helper may send: pids, ports, references, funs; or handles only.
-define(TRUSTED, 3).
-define(UNTRUSTED, 4).

%% @doc What a zygote is asked for: a helper for a context with this name and these
%% options, what the helper is told, and how it is locked up.
-spec request(binary(), py_context_opts:options()) -> map().
request(Label, #{policy := Policy} = Options) ->
    Boot = startup(Policy, Options, (py_context_opts:boot(Options))#{name => Label}),
    Ahead = py_policy:ahead(Policy, maps:get(ahead, Options, 0)),
    Ahead#{boot => Boot}.

%% What all contexts begin with is the application's, and not for strangers; nor may
%% they write to its log.
startup(Policy, Options, Boot) ->
    case py_policy:level(Policy) of
        trusted -> py_log_level:boot(maps:get(runtime, Options), py_startup:boot(Options, Boot));
        _ -> Boot
    end.

%% @doc A port for what came in `spawned' under this token.  `stale': the zygote is gone,
%% and with it the helper; another event will say so.
-spec open(non_neg_integer(), port(), pos_integer(), pid(), py_context_opts:options()) ->
    {ok, port()} | stale | {error, term()}.
open(Token, Zygote, Job, Runtime, #{policy := Policy} = Options) ->
    Taken = py_port:take_helper(Zygote, Token, maps:get(lane, Options), flags(Options)),
    ok = py_runtime:adopted(Runtime, Job, case Taken of {ok, P} -> P; _ -> none end),
    case Taken of
        {ok, Port} ->
            ok = py_grants:put(Port, py_policy:grants(Policy)),
            ok = courier(Port, Options),
            _ = py_port:settings(Port, Options, py_policy:limits(Policy)),
            watch(Port, Options),
            {ok, Port};
        gone ->
            stale;
        {error, Reason} ->
            {error, {open_port, Reason}}
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
    py_registry_end:closed(Port).

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
