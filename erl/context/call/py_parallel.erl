%% SPDX-License-Identifier: Apache-2.0
%% @doc Several calls at once, and all their values or what went wrong.
-module(py_parallel).

-export([run/1, gather/3]).


-export_type([calls/0]).

-include("../../port/py_wire.hrl").

-define(RESPONSE, #{tag => py_response, reply => true}).

-type name() :: terrarium_config:name().
-type calls() :: [{name(), name(), [term()]} | {name(), name(), [term()], map()}].

%% @doc Over the contexts of the default pool, beginning with the caller's: the
%% values in order, or the first error, whereupon the others are ended.
-spec run(calls()) -> {ok, [term()]} | {error, term()}.
run(Calls) when length(Calls) >= 0 ->
    case turns() of
        {error, _} = Error -> Error;
        Turns -> first_error(start(Calls, Turns, {Turns, 0}), infinity)
    end;
run(Calls) ->
    {error, {invalid, calls, Calls}}.

%% The places from the caller's on.
turns() ->
    case {py_place:find(default), py_context_router:contexts()} of
        {{error, _} = Error, _} ->
            Error;
        {{ok, Own}, All} ->
            [{ok, C} || C <- from(Own, All)];
        {{limited, Own, _, _} = Place, All} ->
            [setelement(2, Place, C) || C <- from(Own, All)];
        {{elsewhere, _} = Place, _} ->
            [Place]
    end.

from(Own, All) ->
    {Before, From} = lists:splitwith(fun(C) -> C =/= Own end, All),
    case From of
        [] -> [Own];
        _ -> From ++ Before
    end.

start([], _, _) ->
    [];
start(Calls, [], {All, _} = How) ->
    start(Calls, All, How);
start([Call | Rest], [Place | Next], {_, Flags} = How) ->
    [begun(Place, Call, Flags) | start(Rest, Next, How)].

begun(Place, Call, Flags) ->
    case form(Call) of
        {ok, Form} -> py_cast:start(Place, py_forms:request(Place, Form, Flags), ?RESPONSE);
        {error, _} = Error -> py_cast:start(Error, Error, ?RESPONSE)
    end.

form({M, F, A}) ->
    form({M, F, A, #{}});
form({M, F, A, Kwargs}) when is_map(Kwargs) ->
    {ok, {default, M, F, A, Kwargs, terrarium_config:get(call_timeout)}};
form(Other) ->
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
    case {py_prepare:is_timeout(Timeout), py_place:one(py_forms:context(Target))} of
        {false, _} -> {error, {invalid, timeout, Timeout}};
        {true, {error, _} = Error} -> Error;
        {true, Place} -> gather_in(Place, Calls, Timeout)
    end;
gather(_, Calls, _) ->
    {error, {invalid, calls, Calls}}.

gather_in(Place, Calls, Timeout) ->
    Deadline = py_request:deadline(Timeout),
    Refs = start(Calls, [Place], {[Place], ?FLAG_ASYNC}),
    collected([py_cast:await(Ref, py_request:left(Deadline), py_response) || Ref <- Refs]).

collected(Results) ->
    case [{N, Reason} || {N, {error, Reason}} <- lists:enumerate(Results)] of
        [] -> {ok, [Value || {ok, Value} <- Results]};
        Failed -> {error, {gather_failed, Failed}}
    end.
