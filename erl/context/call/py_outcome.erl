%% SPDX-License-Identifier: Apache-2.0
%% @doc What became of a request, as a result for its caller: an answer of the
%% helper, a wait in vain, or a port that is gone.
-module(py_outcome).

-export([result/6]).

-include("../../port/py_wire.hrl").

-define(REFS, (?FLAG_RETURN_REF bor ?FLAG_STREAM)).

%% @doc The result of a request with these flags and this term, in the form that
%% the caller wants errors in; from a context, or if what that sends has handles in
%% it from a context through a port.
-spec result(py_request:outcome(), pid() | {pid(), port()}, pos_integer(), byte(), pair | map,
             term()) ->
    {ok, term()} | {error, term()}.
result(Outcome, {Context, Port}, Generation, Flags, Form, Term) ->
    Result = result(Outcome, Context, Generation, Flags, Form, Term),
    meant(Result, Outcome, Port);
result(Outcome, Context, Generation, Flags, Form, Term) ->
    Result = sound(result(Outcome, Context, Generation, Flags, Form), Term, Context, Generation),
    judged(Result, Context, Generation).

meant({ok, Value} = Result, {answer, ?FRAME_RESULT, Body}, Port) ->
    case py_handles:has_handle(Body) of
        true -> looked_up(Value, Body, Port);
        false -> Result
    end;
meant(Result, _, _) ->
    Result.

looked_up(Value, Body, Port) ->
    Handles = case py_handles:of_port(Port) of
                  none -> gone;
                  Some -> Some
              end,
    case py_handles:taken(Handles, Body, Value) of
        {ok, _} = Meant -> Meant;
        {error, forgotten} -> {error, {limit, handles}};
        {error, forged} ->
            _ = py_port:violated(Port),
            {error, {protocol, <<"an identifier that it was not given">>}}
    end.

%% What only shows when an answer is decoded ends its helper as well.
judged({error, {protocol, _}} = Error, Context, Generation) ->
    _ = case py_registry:find(Context) of
            {ready, Port, Generation, _, _} -> py_port:kill(Port);
            _ -> ok
        end,
    Error;
judged(Result, _, _) ->
    Result.

%% A reference in the arguments that the helper does not know is said to be
%% that, and not what Python made of it.
sound({error, {"StaleReference", _}} = Error, Term, Context, Generation) ->
    stale(Error, Term, Context, Generation);
sound({error, #{type := <<"StaleReference">>}} = Error, Term, Context, Generation) ->
    stale(Error, Term, Context, Generation);
sound(Result, _, _, _) ->
    Result.

stale(Error, Term, Context, Generation) ->
    case py_ref:stale(Term, Context, Generation) of
        {ok, Ref} -> {error, {stale_ref, Ref}};
        none -> Error
    end.

result({answer, ?FRAME_RESULT, Body}, _, _, Flags, _) when Flags band ?REFS =:= 0 ->
    py_answer:value(Body);
result({answer, ?FRAME_RESULT, Body}, Context, Generation, _, _) ->
    case py_answer:value(Body) of
        {ok, Id} when is_integer(Id), Id >= 0, Id < 1 bsl 64 ->
            {ok, py_ref:new(Context, Generation, Id)};
        {ok, _} -> {error, {protocol, <<"no reference in the answer">>}};
        {error, _} = Error -> Error
    end;
result({answer, ?FRAME_ERROR, Body}, _, _, _, Form) ->
    py_answer:error(Body, Form);
result({answer, 0, Etf}, _, _, _, _) ->
    py_answer:failed(Etf);
result({answer, Opcode, _}, _, _, _, _) ->
    {error, {protocol, {opcode, Opcode}}};
result({timeout, {?FRAME_RESULT, _} = Last}, Context, Generation, Flags, Form) ->
    %% If it is a reference nobody will have it: made here, it is let go of.
    _ = result({answer, ?FRAME_RESULT, element(2, Last)}, Context, Generation, Flags, Form),
    py_answer:timeout(Last);
result({timeout, Last}, _, _, _, _) ->
    py_answer:timeout(Last);
result({lost, Reason}, Context, _, _, _) ->
    case is_process_alive(Context) of
        true -> {error, {crashed, #{reason => lost}}};
        false -> {error, {context_died, Reason}}
    end;
result({too_large, Size, Max}, _, _, _, _) ->
    {error, {too_large, Size, Max}};
result({refused, Text}, _, _, _, _) ->
    {error, {refused, Text}}.
