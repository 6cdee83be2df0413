%% SPDX-License-Identifier: Apache-2.0
%% @doc A request to a context, in the process that makes it.
%%
%% Finds the context's port, submits and waits; what came of it is for
%% `py_outcome'.  Where the helper is on its way, it waits for that within the same
%% time limit; so no request is lost between a helper's death and the next one.
-module(py_caller).

-export([run/6, run_apart/5, on_ref/4, on_ref/5, port_of/2, await/2, renew/2, serving/2,
         represented/2]).

-export_type([errors/0]).

-include("../../port/py_wire.hrl").

-define(REFS, (?FLAG_RETURN_REF bor ?FLAG_STREAM)).
-define(LAST_ROW, '$py_last_context').
%% The row of the context whose callback runs in this process.
-define(SERVING, '$py_serving').
%% Bytes of each stream that are captured, where nobody says.
-define(OUTPUT_MAX, 1048576).

-type errors() :: pair | map | default
                | {stream | capture | default, Max :: pos_integer() | default,
                   pair | map | default}.
%% The form of Python exceptions, and perhaps what becomes of output, at most so
%% many bytes of it; `default' is what the context says.

%% @doc Make a request.
-spec run(py_place:at(), byte(), byte(), term(), py_request:deadline(), errors()) ->
    {ok, term()} | {error, term()}.
run(Context, Opcode, Flags, Term, Timeout, Errors) ->
    case py_events:mode() of
        off ->
            run_now(Context, Opcode, Flags, Term, Timeout, Errors);
        Mode ->
            py_events:around(Mode, Context, Opcode, Term,
                             fun(More) ->
                                     run_now(Context, Opcode, Flags bor More, Term, Timeout,
                                             Errors)
                             end)
    end.

run_now(Context, Opcode, Flags, Term, Timeout, Errors) ->
    case find(Context) of
        {ready, _, _, _, Form} = Row when is_atom(Form), is_atom(Errors) ->
            submit(Row, form(Errors, Form), Context, Opcode, Flags, Term, Timeout, Errors);
        {ready, _, _, _, _} = Row ->
            printing(Row, Context, Opcode, Flags, Term, Timeout, Errors);
        {serving, Row} ->
            printing(Row, Context, Opcode, Flags bor ?FLAG_NESTED, Term, Timeout, Errors);
        starting ->
            later(Context, Opcode, Flags, Term, py_request:deadline(Timeout), Errors);
        {unavailable, Reason} ->
            {error, Reason};
        gone ->
            {error, {context_died, noproc}};
        afar ->
            py_remote:run(Context, Opcode, Flags, Term, Timeout, Errors)
    end.

printing({ready, _, _, _, Form} = Row, Context, Opcode, Flags, Term, Timeout, Errors) ->
    {Output, Max, Plain} = output(Errors, Form),
    Submit = fun() ->
                     submit(Row, Plain, Context, Opcode, Flags, Term, Timeout,
                            {stream, Max, Plain})
             end,
    printed(Output, Max, Submit).

submit({ready, _, _, {_, {_, #{inflight := Limit}}}, _} = Row, Form, Context, Opcode, Flags, Term,
       Timeout, Errors) when Limit =/= none ->
    py_limit:run(Limit, fun() ->
                                submit_now(Row, Form, Context, Opcode, Flags, Term, Timeout,
                                           Errors)
                        end);
submit(Row, Form, Context, Opcode, Flags, Term, Timeout, Errors) ->
    submit_now(Row, Form, Context, Opcode, Flags, Term, Timeout, Errors).

submit_now({ready, Port, Generation, Limits, _}, Form, Context, Opcode, Flags, Term, Timeout,
           Errors) ->
    _ = Flags band ?REFS =:= 0 orelse py_registry:note_objects(Context, Generation),
    Given = py_handles:given(Port, Limits, Term),
    case py_request:request(Port, Opcode, Flags, Given, Timeout, Limits) of
        down ->
            _ = erase(?LAST_ROW),
            _ = erase(?SERVING),
            later(Context, Opcode, Flags, Term, py_request:deadline(Timeout), Errors);
        {callback, _, _, _} = Callback ->
            Outcome = called(Callback, Context, Port, Limits, none),
            Source = py_handles:source(Port, Context, Limits),
            py_outcome:result(Outcome, Source, Generation, Flags, Form, Term);
        Outcome ->
            Source = py_handles:source(Port, Context, Limits),
            py_outcome:result(Outcome, Source, Generation, Flags, Form, Term)
    end.

%% A row with a port is good as long as the port takes requests, so the calling
%% process keeps the last one it used.
find(Context) ->
    case get(?LAST_ROW) of
        {Context, Row} -> Row;
        {serving, Served, Port} -> find_serving(Context, Served, Port);
        _ -> look_up(Context)
    end.

find_serving(Context, Served, Port) ->
    case py_registry:find(Context) of
        {ready, Port, _, _, _} = Row when Context =:= Served -> {serving, Row};
        gone -> gone(Context);
        Other -> Other
    end.

%% No row: perhaps the context is one of another node.
gone({remote, _, _}) -> afar;
gone(Context) when is_pid(Context), node(Context) =/= node() -> afar;
gone(_) -> gone.

%% @doc The calling process is there for a function that Python called outside of
%% any request, through this port: what it asks of the context goes before what
%% others do.
-spec serving(pid(), port()) -> ok.
serving(Context, Port) ->
    _ = put(?LAST_ROW, {serving, Context, Port}),
    ok.

%% A callback goes back to the helper that it came from, although the context may
%% have another one by now.
look_up(Context) ->
    case get(?SERVING) of
        {Context, Row} -> found(Context, Row);
        represented -> afar;
        _ -> found(Context, py_registry:find(Context))
    end.

%% @doc Run this; if `true', the calling process leaves its requests meanwhile to one
%% that waits for it (`py_remote'), even those to contexts of this node.
-spec represented(boolean(), fun(() -> Result)) -> Result.
represented(false, Run) ->
    Run();
represented(true, Run) ->
    Row = put(?LAST_ROW, none),
    Before = put(?SERVING, represented),
    Result = Run(),
    _ = put(?SERVING, Before),
    _ = put(?LAST_ROW, Row),
    Result.

found(Context, Found) ->
    case Found of
        Row when element(1, Row) =:= ready ->
            _ = put(?LAST_ROW, {Context, Row}),
            Row;
        gone ->
            gone(Context);
        Other ->
            Other
    end.

%% Not submitted: the helper is coming, or its death is being looked into.
later(Context, Opcode, Flags, Term, Deadline, Errors) ->
    case await(Context, py_request:left(Deadline)) of
        ok -> run_now(Context, Opcode, Flags, Term, Deadline, Errors);
        {error, timeout} -> py_answer:timeout(none);
        {error, _} = Error -> Error
    end.

%% @doc The same in a process that makes this one request for another, which is
%% told by `Begun' as soon as the request has its place in the order, and
%% monitored by `Owner': when it is dead, nobody wants the answer, the request is
%% given up, and `owner_died' is thrown.
-spec run_apart(py_place:at(), py_prepare:request(), py_request:deadline(), fun(() -> term()),
                reference()) ->
    {ok, term()} | {error, term()}.
run_apart(Context, {Opcode, Flags, Term, _, Errors}, Deadline, Begun, Owner) ->
    py_events:around(py_events:mode(), Context, Opcode, Term,
                     fun(More) ->
                             Request = {Opcode, Flags bor More, Term, Deadline, Errors},
                             apart(Context, Request, Begun, Owner)
                     end).

apart(Context, {_, _, _, Deadline, Errors} = Request, Begun, Owner) ->
    case find(Context) of
        {ready, _, _, _, Form} = Row ->
            {Output, Max, Plain} = output(Errors, Form),
            Submit = fun() -> submit_apart(Row, Plain, Context, Request, Begun, Owner) end,
            printed(Output, Max, Submit);
        starting ->
            later_apart(Context, Request, Begun, Owner);
        {unavailable, Reason} ->
            {error, Reason};
        gone ->
            {error, {context_died, noproc}};
        afar ->
            py_remote:run_apart(Context, Request, Deadline, Begun, Owner)
    end.

submit_apart({ready, _, _, {_, {_, #{inflight := Limit}}}, _} = Row, Form, Context, Request,
             Begun, Owner) when Limit =/= none ->
    py_limit:run(Limit, fun() -> apart_now(Row, Form, Context, Request, Begun, Owner) end);
submit_apart(Row, Form, Context, Request, Begun, Owner) ->
    apart_now(Row, Form, Context, Request, Begun, Owner).

apart_now({ready, Port, Generation, Limits, _}, Form, Context, Request, Begun, Owner) ->
    {Opcode, Flags, Term, Deadline, _} = Request,
    _ = Flags band ?REFS =:= 0 orelse py_registry:note_objects(Context, Generation),
    Given = py_handles:given(Port, Limits, Term),
    case py_request:start(Port, Opcode, Flags, Given, Deadline, Limits) of
        down ->
            _ = erase(?LAST_ROW),
            later_apart(Context, setelement(5, Request, {stream, default, Form}), Begun, Owner);
        First ->
            Outcome = finish(First, Context, Port, Limits, Begun, Owner),
            Source = py_handles:source(Port, Context, Limits),
            py_outcome:result(Outcome, Source, Generation, Flags, Form, Term)
    end.

finish(First, Context, Port, Limits, Begun, Owner)
  when element(1, First) =:= pending; element(1, First) =:= callback ->
    _ = Begun(),
    called(First, Context, Port, Limits, Owner);
finish(Outcome, _, _, _, _, _) ->
    Outcome.

later_apart(Context, {_, _, _, Deadline, _} = Request, Begun, Owner) ->
    _ = Begun(),
    case await(Context, py_request:left(Deadline)) of
        ok -> apart(Context, Request, Begun, Owner);
        {error, timeout} -> py_answer:timeout(none);
        {error, _} = Error -> Error
    end.

%% Python has called a function of ours, and goes on with what it returns; or its
%% answer is still to come.
called({callback, Id, Body, Deadline}, Context, Port, Limits, Owner) ->
    %% When the time is up, before the function or after, the request is ended
    %% instead.
    Outcome = case py_request:left(Deadline) =/= 0
                  andalso function(Body, Context, Port, Deadline, Limits) of
                  false -> {pending, Id, Deadline};
                  Answer -> resume(Port, Id, Answer, Deadline)
              end,
    called(Outcome, Context, Port, Limits, Owner);
called({pending, Id, Deadline}, Context, Port, Limits, none) ->
    called(py_request:await(Port, Id, Deadline, Limits), Context, Port, Limits, none);
called({pending, Id, Deadline}, Context, Port, Limits, Owner) ->
    called(py_request:finish(Port, Id, Deadline, Limits, Owner), Context, Port, Limits, Owner);
called(owner_died, _, _, _, _) ->
    throw(owner_died);
called(Outcome, _, _, _, _) ->
    Outcome.

function(Body, Context, Port, Deadline, {Max, _}) ->
    Row = get(?LAST_ROW),
    Before = put(?SERVING, Row),
    Answer = py_callback:run(Body, Max, Context, Port, Deadline),
    _ = put(?SERVING, Before),
    _ = put(?LAST_ROW, Row),
    Answer.

resume(Port, Id, Answer, Deadline) ->
    case py_request:left(Deadline) of
        0 -> {pending, Id, Deadline};
        _ -> py_request:resume(Port, Id, Answer, Deadline)
    end.

form(default, {_, _, Form}) -> Form;
form(default, Form) -> Form;
form(Form, _) -> Form.

%% What the call says, and where it says nothing, the context.
output(Errors, Form) when is_atom(Errors) ->
    output({default, default, Errors}, Form);
output(Errors, Form) when is_atom(Form) ->
    output(Errors, {stream, ?OUTPUT_MAX, Form});
output({Output, Max, Errors}, {Output0, Max0, Errors0}) ->
    {form(Output, Output0), form(Max, Max0), form(Errors, Errors0)}.

printed(stream, _, Run) ->
    Run();
printed(capture, Max, Run) ->
    Before = py_answer:take_last(),
    case py_stdout:capture(Max, Run) of
        {{ok, Value}, {stdout, Out, stderr, Err}} ->
            ok = py_answer:keep_last(Before),
            {ok, #{value => Value, stdout => Out, stderr => Err}};
        {{error, _} = Error, {stdout, Out, stderr, Err}} ->
            ok = py_answer:last_printed(Before, Out, Err),
            Error
    end.

%%% Objects that stay in Python

%% @doc Make a request about a referenced object; `Term' makes its body from
%% the object's number.
-spec on_ref(pid(), py_ref:t(), byte(), fun((non_neg_integer()) -> term())) ->
    {ok, term()} | {error, term()}.
on_ref(Context, Ref, Opcode, Term) ->
    on_ref(Context, Ref, Opcode, Term, {infinity, default, 0}).

%% @doc The same with a time limit, the form of exceptions, and flags.
-spec on_ref(pid(), py_ref:t(), byte(), fun((non_neg_integer()) -> term()),
             {py_request:deadline(), errors(), byte()}) ->
    {ok, term()} | {error, term()}.
on_ref(Context, Ref, Opcode, Term, How) ->
    case py_ref:is_ref(Ref) andalso py_ref:context(Ref) =:= Context of
        true ->
            case get(?SERVING) =/= represented andalso port_of(Context, Ref) of
                {ok, _} ->
                    Body = Term(py_ref:id(Ref)),
                    py_events:around(py_events:mode(), Context, Opcode, Body,
                                     fun(More) -> run_ref(Context, Ref, Opcode, Body, How, More)
                                     end);
                Other when Other =:= false; node(Context) =/= node() ->
                    py_remote:on_ref(Context, Ref, Opcode, Term(py_ref:id(Ref)), How);
                {error, _} = Error -> Error
            end;
        false ->
            {error, {invalid, ref, Ref}}
    end.

%% The generation counts at the moment of submission: a port belongs to one.
run_ref(Context, Ref, Opcode, Term, {Timeout, Errors, Flags}, More) ->
    Generation = py_ref:generation(Ref),
    case py_registry:find(Context, Generation) of
        {ready, _, Generation, _, Form} = Row ->
            {Output, Max, Plain} = output(Errors, Form),
            Request = {Opcode, Flags bor More, Term, Timeout, Plain},
            Submit = fun() -> submit_ref(Row, Context, Ref, Request) end,
            printed(Output, Max, Submit);
        _ ->
            {error, {stale_ref, Ref}}
    end.

submit_ref({ready, _, _, {_, {_, #{inflight := Limit}}}, _} = Row, Context, Ref, Request)
  when Limit =/= none ->
    py_limit:run(Limit, fun() -> ref_now(Row, Context, Ref, Request) end);
submit_ref(Row, Context, Ref, Request) ->
    ref_now(Row, Context, Ref, Request).

ref_now({ready, Port, Generation, Limits, _}, Context, Ref, Request) ->
    {Opcode, Flags, Term, Timeout, Form} = Request,
    Given = py_handles:given(Port, Limits, Term),
    First = py_request:request(Port, Opcode, Flags, Given, Timeout, Limits),
    case called(First, Context, Port, Limits, none) of
        down -> {error, {stale_ref, Ref}};
        Outcome ->
            Source = py_handles:source(Port, Context, Limits),
            py_outcome:result(Outcome, Source, Generation, Flags, Form, Term)
    end.

%% @doc The port of the helper in which the object lives.
-spec port_of(pid(), py_ref:t()) -> {ok, port()} | {error, term()}.
port_of(Context, Ref) ->
    Generation = py_ref:generation(Ref),
    case py_registry:find(Context, Generation) of
        {ready, Port, Generation, _, _} -> {ok, Port};
        gone -> {error, {context_died, noproc}};
        _ -> {error, {stale_ref, Ref}}
    end.

%%% Waiting

%% @doc Wait until the context knows whether it has a helper.
-spec await(pid(), timeout()) -> ok | {error, term()}.
await(Context, Timeout) ->
    try
        gen_statem:call(Context, await, Timeout)
    catch
        exit:{timeout, _} -> {error, timeout};
        exit:{Reason, _} -> py_afar:died(Reason)
    end.

%% @doc Let the context change to a fresh helper, with the options that it has
%% or with these.
-spec renew(pid(), same | py_context_opts:options()) -> ok | {error, term()}.
renew(Context, Options) ->
    try
        gen_statem:call(Context, {renew, Options}, infinity)
    catch
        exit:{Reason, _} -> py_afar:died(Reason)
    end.
