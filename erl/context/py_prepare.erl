%% SPDX-License-Identifier: Apache-2.0
%% @doc From what a user writes to what a helper is asked for: names become
%% binaries, options are checked, the caller's namespace is added.
%%
%% Runs in the process whose namespace counts, whoever makes the request then.
-module(py_prepare).

-export([checked/4, call/6, eval/4, with_options/2]).

-export_type([request/0]).

-include("../port/py_wire.hrl").

-type name() :: terrarium_config:name().

-type request() :: {Opcode :: byte(), Flags :: byte(), Term :: term(), py_request:deadline(),
                    py_caller:errors()}.

%% @doc The parts of a call in the form in which they go to Python.
-spec checked(name(), name(), [term()], map()) ->
    {binary(), binary(), [term()], #{binary() => term()}} | {error, {invalid, atom(), term()}}.
checked(Module, Function, Args, Kwargs) ->
    Checked = {py_caller:text(Module), py_caller:text(Function), py_caller:args(Args),
               py_caller:kwargs(Kwargs)},
    case Checked of
        {error, _, _, _} -> {error, {invalid, module, Module}};
        {_, error, _, _} -> {error, {invalid, function, Function}};
        {_, _, error, _} -> {error, {invalid, args, Args}};
        {_, _, _, error} -> {error, {invalid, kwargs, Kwargs}};
        Good -> Good
    end.

%% @doc The request for a call.
-spec call(pid(), name(), name(), [term()], map(), py_context:call_options()) ->
    {ok, request()} | {error, term()}.
call(Context, Module, Function, Args, Kwargs, Options) ->
    case checked(Module, Function, Args, Kwargs) of
        {error, _} = Error ->
            Error;
        {M, F, A, Kw} ->
            with_options(Options, fun(Timeout, Errors, Flags, More) ->
                                          How = {Flags, Timeout, Errors},
                                          with_kwargs(Context, {M, F, A, Kw}, More, How)
                                  end)
    end.

with_kwargs(Context, {M, F, A, Kw}, More, {Flags, Timeout, Errors}) ->
    case py_caller:kwargs(More) of
        error ->
            {error, {invalid, kwargs, More}};
        Extra ->
            Term = py_namespace:scope_call(Context, {M, F, A, maps:merge(Kw, Extra)}),
            {ok, {?FRAME_CALL, Flags, Term, Timeout, Errors}}
    end.

%% @doc The request for the value of an expression.
-spec eval(pid(), name(), map(), py_context:call_options()) -> {ok, request()} | {error, term()}.
eval(Context, Code, Locals, Options) ->
    case {py_caller:text(Code), py_caller:kwargs(Locals)} of
        {error, _} ->
            {error, {invalid, code, Code}};
        {_, error} ->
            {error, {invalid, locals, Locals}};
        {C, L} ->
            Term = py_namespace:scope(Context, {C, L}),
            with_options(Options, fun(Timeout, Errors, Flags, _) ->
                                          {ok, {?FRAME_EVAL, Flags, Term, Timeout, Errors}}
                                  end)
    end.

%% @doc What this makes of the options of a call: of its time limit, the form of
%% exceptions and output, the flags, and keyword arguments.
-spec with_options(py_context:call_options(),
                   fun((timeout(), py_caller:errors(), byte(), map()) -> Result)) ->
    Result | {error, {invalid, atom(), term()}}.
with_options(Timeout, Run) when is_integer(Timeout), Timeout >= 0; Timeout =:= infinity ->
    Run(Timeout, default, 0, #{});
with_options(Options, Run) ->
    case py_context_opts:call(Options) of
        {ok, {default, Errors, Flags, Kwargs}} -> Run(infinity, Errors, Flags, Kwargs);
        {ok, {Timeout, Errors, Flags, Kwargs}} -> Run(Timeout, Errors, Flags, Kwargs);
        {error, _} = Error -> Error
    end.
