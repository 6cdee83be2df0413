%% SPDX-License-Identifier: Apache-2.0
%% @doc Several calls at once, and all their values or what went wrong.
-module(py_parallel).

-export([run/1, gather/3]).


-export_type([calls/0]).

-include("../port/py_wire.hrl").

-define(RESPONSE, #{tag => py_response, reply => true}).

-type name() :: terrarium_config:name().
-type calls() :: [{name(), name(), [term()]} | {name(), name(), [term()], map()}].

%% @doc Over the contexts of the default pool, beginning with the caller's: the
%% values in order, or the first error, whereupon the others are ended.
-spec run(calls()) -> {ok, [term()]} | {error, term()}.
run(Calls) when length(Calls) >= 0 ->
    case turns() of
        {error, _} = Error -> Error;
        {Limit, Turns} -> first_error(start(Calls, Turns, {Turns, Limit, 0}), infinity)
    end;
run(Calls) ->
    {error, {invalid, calls, Calls}}.

%% The contexts from the caller's on, and the limit of the pool.
turns() ->
    case {py_place:find(default), py_context_router:contexts()} of
        {{error, _} = Error, _} ->
            Error;
        {{ok, Own}, All} ->
            {none, from(Own, All)};
        {{limited, Own, Limit}, All} ->
            {Limit, from(Own, All)}
    end.

from(Own, All) ->
    {Before, From} = lists:splitwith(fun(C) -> C =/= Own end, All),
    case From of
        [] -> [Own];
        _ -> From ++ Before
    end.

start([], _, _) ->
    [];
start(Calls, [], {All, _, _} = How) ->
    start(Calls, All, How);
start([Call | Rest], [Context | Next], {_, Limit, Flags} = How) ->
    [begun(Context, Call, Limit, Flags) | start(Rest, Next, How)].

begun(Context, Call, Limit, Flags) ->
    case form(Context, Call) of
        {ok, Form} ->
            {_, Request} = py_forms:prepare(Form, Flags),
            py_cast:start(place(Context, Limit), Request, ?RESPONSE);
        {error, _} = Error ->
            py_cast:start(Error, Error, ?RESPONSE)
    end.

place(Context, none) -> {ok, Context};
place(Context, Limit) -> {limited, Context, Limit}.

form(Context, {M, F, A}) ->
    form(Context, {M, F, A, #{}});
form(Context, {M, F, A, Kwargs}) when is_map(Kwargs) ->
    {ok, {Context, M, F, A, Kwargs, terrarium_config:get(call_timeout)}};
form(_, Other) ->
    {error, {invalid, call, Other}}.

first_error([], _) ->
    {ok, []};
first_error(Refs, Timeout) ->
    first_error(Refs, Timeout, []).

first_error([], _, Values) ->
    {ok, lists:reverse(Values)};
first_error([Ref | Rest], Timeout, Values) ->
    case py_cast:await(Ref, Timeout, py_response) of
        {ok, Value} ->
            first_error(Rest, Timeout, [Value | Values]);
        {error, _} = Error ->
            lists:foreach(fun py_cast:cancel/1, Rest),
            Error
    end.

%% @doc All in one context, as coroutines, within one time limit: the values in
%% order, or all that went wrong, by place (from 1).
-spec gather(pid() | atom(), calls(), timeout()) ->
    {ok, [term()]} | {error, {gather_failed, [{pos_integer(), term()}]} | term()}.
gather(Target, Calls, Timeout) when length(Calls) >= 0 ->
    case py_forms:context(Target) of
        {ok, Context} -> gather_in(Context, none, Calls, Timeout);
        {limited, Context, Limit} -> gather_in(Context, Limit, Calls, Timeout);
        {error, _} = Error -> Error
    end;
gather(_, Calls, _) ->
    {error, {invalid, calls, Calls}}.

gather_in(Context, Limit, Calls, Timeout) ->
    Deadline = py_request:deadline(Timeout),
    Refs = start(Calls, [Context], {[Context], Limit, ?FLAG_ASYNC}),
    collected([py_cast:await(Ref, py_request:left(Deadline), py_response) || Ref <- Refs]).

collected(Results) ->
    case [{N, Reason} || {N, {error, Reason}} <- lists:enumerate(Results)] of
        [] -> {ok, [Value || {ok, Value} <- Results]};
        Failed -> {error, {gather_failed, Failed}}
    end.
